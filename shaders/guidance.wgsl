// The next token's scores: a weighted sum of the streams' logits, and the plausibility cut.
//
//     y[a, v] = w_0 * l_0[v] + sum_{s > 0} w_s * (l_s[v] - l_0[v])
//
// with l_s = logits[stream_rows[a, s]] and l_0 the anchor (pref); w_0 is the weight of all streams together. A difference that is not finite counts 0, so that
// a token the anchor forbids stays forbidden. Tokens with l_0[v] < max l_0 + ln(beta) are cut to the lowest f32.
// Source: Amulet (arXiv 2502.19148) collapsed, ../ARCHITECTURE.md; Li et al. 2023 (arXiv 2210.15097), eq. 3.
// Dispatch: (SHARES, answers, 1). Tolerance against the CPU twin: 1e-5 relative.

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;      // logits [rows, {{ vocab }}]
@group(0) @binding(1) var<storage, read_write> stream_rows: array<i32>; // stream_rows [answers, {{ streams }}]
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;     // weights [answers, {{ streams }}]
@group(0) @binding(3) var<storage, read_write> settings: array<f32>;    // settings [8], see sample.wgsl
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;      // scores [answers, {{ vocab }}]

const VOCAB: u32 = {{ vocab }}u;
const STREAMS: u32 = {{ streams }}u;
const SHARES: u32 = {{ shares }}u;
{% include "common/reduce.wgsl" %}

var<workgroup> cuts: bool;

fn difference(row: u32, anchor: f32, v: u32) -> f32 {
    let value = logits[row * VOCAB + v] - anchor;
    return select(0.0, value, is_finite(value));
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let answer = group.y;
    let anchor = u32(stream_rows[answer * STREAMS]);
    if (local.x == 0u) {
        cuts = settings[0] > 0.0;
    }
    workgroupBarrier();
    var cut = LOWEST;
    if (workgroupUniformLoad(&cuts)) {
        var best = Best(LOWEST, 0u);
        for (var v = local.x; v < VOCAB; v += 256u) {
            best = better(best, Best(finite(logits[anchor * VOCAB + v]), v));
        }
        cut = workgroup_best(best, local.x).value + log(settings[0]);
    }
    let total = weights[answer * STREAMS];
    let share = (VOCAB + SHARES - 1u) / SHARES;
    let end = min(VOCAB, (group.x + 1u) * share);
    for (var v = group.x * share + local.x; v < end; v += 256u) {
        let base = logits[anchor * VOCAB + v];
        var y = total * base;
        for (var s = 1u; s < STREAMS; s++) {
            y += weights[answer * STREAMS + s] * difference(u32(stream_rows[answer * STREAMS + s]), base, v);
        }
        scores[answer * VOCAB + v] = select(y, LOWEST, cut > LOWEST && base < cut);
    }
}
