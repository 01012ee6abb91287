// A few rows times a matrix; each weight is read once for all rows.
//
//     y[r, o] = sum_i x[r, i] * weight[i, o]
//
// Neighbouring invocations read neighbouring weights, and none waits for another, so that memory
// accesses are coalesced on a GPU and vectorized on a software adapter.
// Dispatch: one invocation an output, (ceil(outputs / workgroup_size), 1, 1).
// Tolerance against a sum in f64: 4e-5 * sqrt(inputs), absolute below 1 and relative above.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;      // x [{{ rows }}, {{ inputs }}]
@group(0) @binding(1) var<storage, read_write> weight: array<f32>; // weight [{{ inputs }}, {{ outputs }}]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;      // y [{{ rows }}, {{ outputs }}]

const INPUTS: u32 = {{ inputs }}u;
const OUTPUTS: u32 = {{ outputs }}u;
const ROWS: u32 = {{ rows }}u;

@compute @workgroup_size({{ workgroup_size }}, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let output = id.x;
    if (output >= OUTPUTS) {
        return;
    }
    var sums = array<f32, ROWS>();
    for (var i = 0u; i < INPUTS; i++) {
        let w = weight[i * OUTPUTS + output];
        for (var row = 0u; row < ROWS; row++) {
            sums[row] += x[row * INPUTS + i] * w;
        }
    }
    for (var row = 0u; row < ROWS; row++) {
        y[row * OUTPUTS + output] = sums[row];
    }
}
