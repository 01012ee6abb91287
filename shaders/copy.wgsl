// A copy, to measure the memory bandwidth that a kernel can reach.
//
// Dispatch: invocations take turns, (any, 1, 1). Tolerance: none.

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>; // x [length]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // y [length]

@compute @workgroup_size(64, 1, 1)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    for (var i = id.x; i < arrayLength(&y); i += groups.x * 64u) {
        y[i] = x[i];
    }
}
