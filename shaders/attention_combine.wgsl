// The splits of attention put together.
//
//     out[t, h] = sum_s e^(m_s - m) part[t, h, s] / sum_s e^(m_s - m) l_s,   m = max_s m_s
//
// Source: as attention.wgsl. Dispatch: (ceil(tokens * heads * head_dim / 64), 1, 1).
// Tolerance against the CPU twin: 2e-5 relative.

@group(0) @binding(0) var<storage, read_write> part: array<f32>;    // part [tokens, heads, {{ splits }}, {{ head_dim }}]
@group(0) @binding(1) var<storage, read_write> weights: array<f32>; // weights [tokens, heads, {{ splits }}, 2]: maximum, sum
@group(0) @binding(2) var<storage, read_write> out: array<f32>;     // out [tokens, heads, {{ head_dim }}]

const HEAD_DIM: u32 = {{ head_dim }}u;
const SPLITS: u32 = {{ splits }}u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&out)) {
        return;
    }
    let head = id.x / HEAD_DIM;
    var highest = weights[2u * head * SPLITS];
    for (var split = 1u; split < SPLITS; split++) {
        highest = max(highest, weights[2u * (head * SPLITS + split)]);
    }
    var sum = 0.0;
    var total = 0.0;
    for (var split = 0u; split < SPLITS; split++) {
        let at = head * SPLITS + split;
        let weight = exp(weights[2u * at] - highest);
        sum += weight * part[at * HEAD_DIM + id.x % HEAD_DIM];
        total += weight * weights[2u * at + 1u];
    }
    out[id.x] = sum / total;
}
