// Chains of multiply-adds, to measure the arithmetic that a kernel can reach.
//
//     y[i] = x[i] after ROUNDS times y * 0.75 + 0.25
//
// Four chains of vec4 an invocation, so that none waits for its own last result.
// Dispatch: (ceil(length / 16 / 64), 1, 1), length a multiple of 16. Tolerance against the CPU twin: 1e-5.

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>; // x [length]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>; // y [length]

const ROUNDS: u32 = {{ rounds }}u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&y) / 4u) {
        return;
    }
    var a = x[4u * id.x];
    var b = x[4u * id.x + 1u];
    var c = x[4u * id.x + 2u];
    var d = x[4u * id.x + 3u];
    let scale = vec4<f32>(0.75);
    let offset = vec4<f32>(0.25);
    for (var round = 0u; round < ROUNDS; round++) {
        a = fma(a, scale, offset);
        b = fma(b, scale, offset);
        c = fma(c, scale, offset);
        d = fma(d, scale, offset);
    }
    y[4u * id.x] = a;
    y[4u * id.x + 1u] = b;
    y[4u * id.x + 2u] = c;
    y[4u * id.x + 3u] = d;
}
