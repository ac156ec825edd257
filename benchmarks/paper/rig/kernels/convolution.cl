/* Convolutions as the paper's section 9 writes them: no stride, no dilation, no border,

       out[i, y, x] = sum over j, v, u of in[j, y + v, x + u] w[i, j, v, u]        (equation 60)

   One work item per output, global ids (x, y, map); `first` is the map of id 0, so that maps can be spread over launches.
   The global size may exceed the outputs; stores test the bounds.

   Macros:  F        taps along each axis
            FILTERS  where the filters lie: __global or __constant
            V        outputs along x of one work item of each_vector: 1, 2, 4, 8 or 16
            UNROLL   1: unroll the loops over the taps; 0: never; otherwise as the compiler likes  */
#if !defined(F) || !defined(FILTERS)
#error "F and FILTERS are required"
#endif
#ifndef V
#define V 1
#endif
#ifndef UNROLL
#define UNROLL -1
#endif

#if UNROLL == 1
#define TAPS _Pragma("unroll")
#elif UNROLL == 0
#define TAPS _Pragma("unroll 1")
#else
#define TAPS
#endif

/* One output of one pair of maps. */
inline float window(__global const float *in, FILTERS const float *w, const int width)
{
    float sum = 0;
    TAPS for (int v = 0; v < F; v++)
        TAPS for (int u = 0; u < F; u++) sum += in[v * width + u] * w[v * F + u];
    return sum;
}

/* Map z of the output from map z of the input alone ("single"). */
__kernel void each(__global const float *in, FILTERS const float *w, __global float *out, const int height, const int width,
                   const int first)
{
    const int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2) + first;
    const int ox = width - F + 1, oy = height - F + 1;
    if (x < ox && y < oy) out[(z * oy + y) * ox + x] = window(in + (z * height + y) * width + x, w + z * F * F, width);
}

/* Every output map from all input maps ("full"); w begins with the filters of map `first`. */
__kernel void full(__global const float *in, FILTERS const float *w, __global float *out, const int height, const int width,
                   const int first, const int inputs)
{
    const int x = get_global_id(0), y = get_global_id(1), n = get_global_id(2), i = n + first;
    const int ox = width - F + 1, oy = height - F + 1;
    if (x >= ox || y >= oy) return;
    float sum = 0;
    for (int j = 0; j < inputs; j++)
        sum += window(in + (j * height + y) * width + x, w + (n * inputs + j) * F * F, width);
    out[(i * oy + y) * ox + x] = sum;
}

/* One pair of maps per launch, z = i inputs + j; the first input's launch stores, those of the others add. */
__kernel void pair_added(__global const float *in, FILTERS const float *w, __global float *out, const int height,
                         const int width, const int first, const int inputs)
{
    const int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2) + first, i = z / inputs, j = z % inputs;
    const int ox = width - F + 1, oy = height - F + 1;
    if (x >= ox || y >= oy) return;
    const float sum = window(in + (j * height + y) * width + x, w + z * F * F, width);
    const int at = (i * oy + y) * ox + x;
    out[at] = j == 0 ? sum : out[at] + sum;
}

/* One pair of maps per launch, each into a map of its own: what the paper timed ("we don't sum the outputs"). */
__kernel void pair_apart(__global const float *in, FILTERS const float *w, __global float *out, const int height,
                         const int width, const int first, const int inputs)
{
    const int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2) + first, j = z % inputs;
    const int ox = width - F + 1, oy = height - F + 1;
    if (x < ox && y < oy) out[(z * oy + y) * ox + x] = window(in + (j * height + y) * width + x, w + z * F * F, width);
}

/* As each, the inputs of a work group in local memory: S_l + R along each axis, R = F - 1 (section 10.1.2). */
__kernel void tiled(__global const float *in, FILTERS const float *w, __global float *out, const int height, const int width,
                    __local float *tile)
{
    const int x = get_global_id(0), y = get_global_id(1), z = get_global_id(2);
    const int lx = get_local_id(0), ly = get_local_id(1), sx = get_local_size(0), sy = get_local_size(1);
    const int left = get_group_id(0) * sx, top = get_group_id(1) * sy;
    const int ox = width - F + 1, oy = height - F + 1, across = sx + F - 1, down = sy + F - 1;
    for (int v = ly; v < down; v += sy)
        for (int u = lx; u < across; u += sx)
            tile[v * across + u] = top + v < height && left + u < width ? in[(z * height + top + v) * width + left + u] : 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    float sum = 0;
    for (int v = 0; v < F; v++)
        for (int u = 0; u < F; u++) sum += tile[(ly + v) * across + lx + u] * w[(z * F + v) * F + u];
    if (x < ox && y < oy) out[(z * oy + y) * ox + x] = sum;
}

/* As each, V neighbouring outputs in one OpenCL vector.  Reads up to V - 1 numbers past a row: the last row needs that room. */
#if V == 1
typedef float vec;
#define LOAD(p) (*(p))
#define STORE(value, p) (*(p) = (value))
#else
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
typedef CAT(float, V) vec;
#define LOAD(p) CAT(vload, V)(0, p)
#define STORE(value, p) CAT(vstore, V)(value, 0, p)
#endif

__kernel void each_vector(__global const float *in, FILTERS const float *w, __global float *out, const int height, const int width)
{
    const int x = get_global_id(0) * V, y = get_global_id(1), z = get_global_id(2);
    const int ox = width - F + 1, oy = height - F + 1;
    if (x >= ox || y >= oy) return;
    __global const float *from = in + (z * height + y) * width + x;
    vec sum = (vec)(0);
    for (int v = 0; v < F; v++)
        for (int u = 0; u < F; u++) sum += LOAD(from + v * width + u) * w[(z * F + v) * F + u];
    __global float *to = out + (z * oy + y) * ox + x;
    if (x + V <= ox) {
        STORE(sum, to);
    } else { /* the ragged end of a row */
        float lanes[V];
        STORE(sum, lanes);
        for (int n = 0; x + n < ox; n++) to[n] = lanes[n];
    }
}
