// The log-probability of one given token in each row.
//
//     y[r] = logits[r, target[r]] - ln sum_v exp(logits[r, v])
//
// What is no number counts as impossible. Dispatch: (rows, 1, 1). Tolerance against the CPU twin: 1e-4.

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;  // logits [rows, {{ vocab }}]
@group(0) @binding(1) var<storage, read_write> targets: array<i32>; // targets [rows]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;       // y [rows]

const VOCAB: u32 = {{ vocab }}u;
{% include "common/reduce.wgsl" %}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let start = group.x * VOCAB;
    var highest = LOWEST;
    var sum = 0.0;
    for (var v = local.x; v < VOCAB; v += 256u) {
        let logit = finite(logits[start + v]);
        if (logit > highest) {
            sum *= exp(highest - logit);
            highest = logit;
        }
        sum += select(0.0, exp(logit - highest), logit > LOWEST);
    }
    let top = workgroup_best(Best(highest, local.x), local.x).value;
    let all = workgroup_sum(sum * exp(highest - top), local.x);
    if (local.x == 0u) {
        y[group.x] = logits[start + u32(targets[group.x])] - top - log(all);
    }
}
