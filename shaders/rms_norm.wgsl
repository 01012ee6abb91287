// Root mean square layer normalization of each row, times a gain.
//
//     y[r, i] = x[r, i] * gain[i] / sqrt(mean_j x[r, j]^2 + epsilon)
//
// Source: Zhang & Sennrich 2019 (arXiv 1910.07467), eq. 4, with the usual epsilon.
// Dispatch: one workgroup a row, (rows, 1, 1).
// Tolerance against the CPU twin: 1e-5 relative (the sum's order differs).

@group(0) @binding(0) var<storage, read_write> x: array<f32>;    // x [rows, {{ width }}]
@group(0) @binding(1) var<storage, read_write> gain: array<f32>; // gain [{{ width }}]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;    // y [rows, {{ width }}]

const WIDTH: u32 = {{ width }}u;
const EPSILON: f32 = {{ epsilon }};

@compute @workgroup_size({{ workgroup_size }}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let start = group.x * WIDTH;
    var squares = 0.0;
    for (var i = local.x; i < WIDTH; i += WORKGROUP_SIZE) {
        let value = x[start + i];
        squares += value * value;
    }
    let scale = inverseSqrt(workgroup_sum(squares, local.x) / f32(WIDTH) + EPSILON);
    for (var i = local.x; i < WIDTH; i += WORKGROUP_SIZE) {
        y[start + i] = x[start + i] * scale * gain[i];
    }
}
