// Rotary position embedding of the leading heads of each row, in interleaved pairs.
//
//     y[r, h, 2i]   = x[r, h, 2i] * cos(t * f_i) - x[r, h, 2i+1] * sin(t * f_i)
//     y[r, h, 2i+1] = x[r, h, 2i] * sin(t * f_i) + x[r, h, 2i+1] * cos(t * f_i)
//
// with t = positions[r] and f_i = base^(-2i / head_dim); cos and sin come from a table, since
// WGSL's own lose precision on large angles.
// Source: Su et al. 2021 (arXiv 2104.09864), eq. 34. GGUF's llama models store q and k permuted
// so that pairs are neighbours.
// Dispatch: one invocation a pair, (ceil(heads * head_dim / 2 / workgroup_size), rows, 1).
// Tolerance against the CPU twin: 1e-6 relative.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;         // x [rows, {{ row_width }}]
@group(0) @binding(1) var<storage, read_write> table: array<f32>;     // table [positions, {{ head_dim }}]: cos, sin of each pair
@group(0) @binding(2) var<storage, read_write> positions: array<i32>; // positions [rows]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;         // y [rows, {{ heads }}, {{ head_dim }}]

const ROW_WIDTH: u32 = {{ row_width }}u;
const HEAD_DIM: u32 = {{ head_dim }}u;
const HEADS: u32 = {{ heads }}u;

@compute @workgroup_size({{ workgroup_size }}, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pair = id.x;
    let row = id.y;
    if (pair >= HEADS * HEAD_DIM / 2u) {
        return;
    }
    let angle = u32(positions[row]) * HEAD_DIM + (2u * pair) % HEAD_DIM;
    let c = table[angle];
    let s = table[angle + 1u];
    let even = x[row * ROW_WIDTH + 2u * pair];
    let odd = x[row * ROW_WIDTH + 2u * pair + 1u];
    let at = row * HEADS * HEAD_DIM + 2u * pair;
    y[at] = even * c - odd * s;
    y[at + 1u] = even * s + odd * c;
}
