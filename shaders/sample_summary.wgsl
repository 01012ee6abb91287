// The first phase of sampling, over many workgroups: what each share of an answer's vocabulary comes to.
//
//     best token after penalties, the lowest id of equals;  m = max s;  sum_v exp(s_v - m)
//
// with the scores s as sample.wgsl has them, whose penalties these are.
// Dispatch: (SHARES, answers, 1). Tolerance: see sample.wgsl, whose first half it is.

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;   // scores [answers, {{ vocab }}]
@group(0) @binding(1) var<storage, read_write> settings: array<f32>; // settings [{{ slot | length }}] of src/settings.rs
@group(0) @binding(2) var<storage, read_write> counts: array<i32>;   // counts [answers, {{ vocab }}]
@group(0) @binding(3) var<storage, read_write> leaning: array<i32>;  // leaning [answers, 2] of guidance.wgsl, passed on
@group(0) @binding(4) var<storage, read_write> summary: array<i32>;  // summary [answers, {{ 2 + 4 * shares }}]: leaning, then each share's best value's bits, its id, bits of m and of the sum

const VOCAB: u32 = {{ vocab }}u;
const SHARES: u32 = {{ shares }}u;
{% include "common/reduce.wgsl" %}
{% include "common/penalties.wgsl" %}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let lane = local.x;
    let answer = group.y;
    let share = (VOCAB + SHARES - 1u) / SHARES;
    let end = min(VOCAB, (group.x + 1u) * share);
    var mine = Best(LOWEST, VOCAB);
    var highest = LOWEST;
    var sum = 0.0;
    for (var v = group.x * share + lane; v < end; v += 256u) {
        mine = better(mine, Best(penalized(answer, v), v));
        let score = finite(scores[answer * VOCAB + v]);
        let next = max(highest, score);
        sum = sum * exp(highest - next) + select(0.0, exp(score - next), score > LOWEST);
        highest = next;
    }
    let best = workgroup_best(mine, lane);
    let top = workgroup_best(Best(highest, lane), lane).value;
    let total = workgroup_sum(sum * exp(highest - top), lane);
    if (lane == 0u) {
        let start = answer * {{ 2 + 4 * shares }}u;
        if (group.x == 0u) {
            summary[start] = leaning[answer * 2u];
            summary[start + 1u] = leaning[answer * 2u + 1u];
        }
        let at = start + 2u + 4u * group.x;
        summary[at] = bitcast<i32>(best.value);
        summary[at + 1u] = i32(best.id);
        summary[at + 2u] = bitcast<i32>(top);
        summary[at + 3u] = bitcast<i32>(total);
    }
}
