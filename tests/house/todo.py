"""What does not keep a rule yet, rule by rule; a test fails as well when an entry is no longer needed."""

from __future__ import annotations


def settled(found: set[str], allowed: set[str]) -> None:
    """Fail on what breaks a rule and is not listed, and on what is listed and keeps it."""
    assert not found - allowed, f"breaks the rule: {sorted(found - allowed)}"
    assert not allowed - found, f"keeps the rule, so it is no longer listed: {sorted(allowed - found)}"


FULL_FOLDERS: set[str] = set()
SHARED_PREFIXES: set[str] = set()
SILENT_FOLDERS: set[str] = {
    "runtime/__init__.py",
    "runtime/tuner/__init__.py",
}
TESTS_WITHOUT_ROOM: set[str] = set()
CIRCLES: set[str] = {
    "runtime/manifest: folder reading records",
}
LONG_FUNCTIONS: set[str] = set()
COMPLEX_FUNCTIONS: set[str] = {
    "codegen/reference/scope.py::_chained",
    "runtime/manifest/expressions.py::_build",
}
MANY_ARGUMENTS: set[str] = set()
LONG_SENTENCES: set[str] = {
    "codegen/opencl/blocks/bounds.py",
    "codegen/opencl/blocks/frame.py::accumulators",
    "codegen/opencl/blocks/kernel.py::GroupText",
    "codegen/opencl/blocks/nest.py",
    "codegen/opencl/rows/frames.py",
    "codegen/pages/manifest.py::_work",
    "codegen/passes/factor_out_invariants.py",
    "codegen/reference/axes.py::_mesh_demands",
    "codegen/reference/printer.py::_inlines",
    "codegen/tiling/lanes.py",
    "codegen/tiling/lanes.py::Lanes",
    "codegen/tiling/local_memory.py",
    "codegen/tiling/sums.py",
    "codegen/tiling/sums.py::sums_in_parts",
    "derive/print/text.py",
    "runtime/manifest/records.py::BoundsInfo",
    "runtime/manifest/records.py::LocalInfo",
    "runtime/manifest/records.py::SizeInfo",
    "runtime/manifest/records.py::SplitInfo",
    "runtime/manifest/records.py::StripInfo",
    "runtime/optimize/line_search/line_search.py::make_line_search",
}
CLASS_NAMES: set[str] = {
    "Activation",
    "Bar",
    "Constant",
    "History",
    "Layout",
    "Lines",
    "Observer",
    "Outcome",
    "Pass",
    "Pending",
    "Plan",
    "Program",
    "Silent",
    "Smallest",
    "Stage",
}
RETIRED: set[str] = {
    "codegen/analysis/affine.py: constant",
    "codegen/opencl/blocks/printer.py: parts",
    "codegen/passes/hoist_index_arithmetic.py: constant",
    "codegen/reference/scalars.py: parts",
    "codegen/reference/scope.py: parts",
    "codegen/reference/scope.py: place",
    "codegen/tiling/constant_memory.py: constant",
    "codegen/tiling/constant_memory.py: split",
    "codegen/tiling/tiling.py: constant",
    "derive/ir.py: RowLoop",
    "runtime/data/datasets.py: Part",
    "runtime/manifest/expressions.py: parts",
    "runtime/manifest/records.py: StripInfo",
    "runtime/manifest/records.py: parts",
    "runtime/manifest/records.py: split",
    "runtime/manifest/records.py: strip",
    "runtime/manifest/records.py: team",
    "runtime/optimize/methods/schedules.py: Schedule",
    "tests/codegen/analysis/test_selecting_layers.py: selection",
    "tests/codegen/passes/test_factor_out_invariants.py: parts",
    "tests/codegen/passes/test_factor_out_invariants.py: split",
    "tests/codegen/tiling/test_tiling.py: test_a_place_of_a_strip_takes_its_accumulators_and_puts_them_back",
    "tests/codegen/tiling/test_tiling.py: test_the_outermost_axis_of_a_window_is_a_strip_where_a_loop_is_left_inside",
    "tests/runtime/opencl/launch/test_grouped.py: parts",
    "tests/runtime/opencl/launch/test_grouped.py: test_teams_of_all_sizes_side_by_side_fit_local_memory",
    "tests/runtime/opencl/launch/test_grouped.py: test_widths_teams_and_parts_are_mixed_within_the_launches_above",
    "tests/runtime/opencl/plan/test_cpu_cost_model.py: test_a_strip_serves_sums_that_stream_from_the_second_level_cache",
    "tests/runtime/opencl/plan/test_cpu_cost_model.py: test_a_strip_takes_no_registers_and_leaves_work_for_every_core",
    "tests/runtime/opencl/plan/test_gpu_cost_model.py: team",
    "tests/runtime/opencl/plan/test_gpu_cost_model.py: teams",
    "tests/runtime/opencl/plan/test_gpu_cost_model.py: test_a_team_fits_its_memory_and_its_work",
    "tests/runtime/opencl/plan/test_gpu_cost_model.py: test_of_few_samples_teams_share_the_rounds_of_a_loop",
    "tests/runtime/opencl/plan/test_gpu_cost_model.py: test_without_local_memory_there_are_no_teams",
    "tests/runtime/opencl/plan/test_partial_sums.py: parts",
    "tests/runtime/opencl/plan/test_teams.py: parts",
    "tests/runtime/opencl/plan/test_teams.py: split",
    "tests/runtime/opencl/plan/test_teams.py: team",
    "tests/runtime/opencl/plan/test_teams.py: test_a_team_of_one_is_no_team",
    "tests/runtime/opencl/plan/test_teams.py: test_random_teams_give_what_numpy_gives_and_the_same_bits_twice",
    "tests/runtime/opencl/plan/test_teams.py: test_teams",
    "tests/runtime/opencl/plan/test_teams.py: test_the_sums_of_a_team_fit_local_memory",
    "tests/runtime/opencl/plan/test_teams.py: test_why_a_team_is_illegal",
}
RETIRED_IN_C: set[str] = set()
C_TEXTS: set[str] = set()
