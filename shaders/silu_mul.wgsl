// The gate of a SwiGLU feed-forward layer: SiLU of the row's first half times its second half.
//
//     y[r, i] = g / (1 + exp(-g)) * x[r, width + i],   g = x[r, i]
//
// Source: Shazeer 2020 (arXiv 2002.05202), eq. 6.
// Dispatch: one invocation an output, (ceil(width / workgroup_size), rows, 1).
// Tolerance against the CPU twin: 1e-5 relative.

@group(0) @binding(0) var<storage, read_write> x: array<f32>; // x [rows, 2 * {{ width }}]: gate, up
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // y [rows, {{ width }}]

const WIDTH: u32 = {{ width }}u;

@compute @workgroup_size({{ workgroup_size }}, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= WIDTH) {
        return;
    }
    let gate = x[id.y * 2u * WIDTH + id.x];
    let up = x[id.y * 2u * WIDTH + WIDTH + id.x];
    y[id.y * WIDTH + id.x] = gate / (1.0 + exp(-gate)) * up;
}
