// Reductions over a workgroup of 256, or of the power of two that `members` is, and what counts as a number. Call them in uniform control flow.

const LOWEST: f32 = -3.4e38;

struct Best {
    value: f32,
    id: u32,
}

{% set members = members | default(256) %}
var<workgroup> reduced_values: array<f32, {{ members }}>;
var<workgroup> reduced_ids: array<u32, {{ members }}>;

fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

// The value, or LOWEST for what is no number to choose by.
fn finite(value: f32) -> f32 {
    return select(LOWEST, max(value, LOWEST), is_finite(value));
}

// The larger value; of equal ones the lower id.
fn better(a: Best, b: Best) -> Best {
    if (b.value > a.value || (b.value == a.value && b.id < a.id)) {
        return b;
    }
    return a;
}

// The best of all invocations, given to each.
fn workgroup_best(mine: Best, lane: u32) -> Best {
    var best = mine;
    reduced_values[lane] = best.value;
    reduced_ids[lane] = best.id;
    workgroupBarrier();
    for (var half = {{ members // 2 }}u; half > 0u; half /= 2u) {
        if (lane < half) {
            best = better(best, Best(reduced_values[lane + half], reduced_ids[lane + half]));
            reduced_values[lane] = best.value;
            reduced_ids[lane] = best.id;
        }
        workgroupBarrier();
    }
    best = Best(reduced_values[0], reduced_ids[0]);
    workgroupBarrier();
    return best;
}

// The sum over all invocations, given to each.
fn workgroup_sum(mine: f32, lane: u32) -> f32 {
    reduced_values[lane] = mine;
    workgroupBarrier();
    for (var half = {{ members // 2 }}u; half > 0u; half /= 2u) {
        if (lane < half) {
            reduced_values[lane] += reduced_values[lane + half];
        }
        workgroupBarrier();
    }
    let sum = reduced_values[0];
    workgroupBarrier();
    return sum;
}
