/* The multiplication test of the paper's section 9, and what else shows how a compiler vectorises.

   Macros:  V  floats per explicit vector: 1, 2, 4, 8 or 16.  1 is scalar code over neighbouring work items.  */
#ifndef V
#define V 1
#endif
#if V == 1
typedef float vec;
#else
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
typedef CAT(float, V) vec;
#endif

/* c = a b; the global size may exceed the `count` vectors. */
__kernel void multiply(__global const vec *a, __global const vec *b, __global vec *c, const int count)
{
    const int n = get_global_id(0);
    if (n < count) c[n] = a[n] * b[n];
}

/* c = a b, `each` neighbouring numbers per work item. */
__kernel void multiply_many(__global const vec *a, __global const vec *b, __global vec *c, const int count, const int each)
{
    const int first = get_global_id(0) * each, last = min(count, first + each);
    for (int n = first; n < last; n++) c[n] = a[n] * b[n];
}

/* c = 1 + a (b + a (b + ...)), 32 multiply-adds for each number that is loaded. */
__kernel void polynomial(__global const vec *a, __global const vec *b, __global vec *c, const int count)
{
    const int n = get_global_id(0);
    if (n >= count) return;
    const vec x = a[n], k = b[n];
    vec value = k;
    for (int step = 0; step < 31; step++) value = value * x + k;
    c[n] = value * x + 1;
}

/* Norm of a vector of four, one array per component (SoA): a[0] .. a[count - 1] is the first component. */
__kernel void norm_soa(__global const float *a, __global float *c, const int count)
{
    const int n = get_global_id(0);
    if (n >= count) return;
    const float p = a[n], q = a[count + n], r = a[2 * count + n], s = a[3 * count + n];
    c[n] = sqrt(p * p + q * q + r * r + s * s);
}

/* The same, the four components side by side (AoS). */
__kernel void norm_aos(__global const float *a, __global float *c, const int count)
{
    const int n = get_global_id(0);
    if (n >= count) return;
    const float p = a[4 * n], q = a[4 * n + 1], r = a[4 * n + 2], s = a[4 * n + 3];
    c[n] = sqrt(p * p + q * q + r * r + s * s);
}

/* Does nothing: what a launch costs. */
__kernel void nothing(__global const float *a)
{
}
