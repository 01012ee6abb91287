// Rotary position embedding of q and k in interleaved pairs; k and v go into the cache.
//
//     q[t, h, 2i]   = x[2i] * cos(p * f_i) - x[2i+1] * sin(p * f_i)
//     q[t, h, 2i+1] = x[2i] * sin(p * f_i) + x[2i+1] * cos(p * f_i),   x = qkv[t, h], p = positions[t]
//
// and likewise k, with f_i = base^(-2i / head_dim); cos and sin come from a table, since WGSL's own
// lose precision on large angles. Token t's k and v go to slots[t] = page * PAGE + place in the page.
// Source: Su et al. 2021 (arXiv 2104.09864), eq. 34. GGUF's llama models store q and k permuted
// so that pairs are neighbours.
// Dispatch: one invocation a pair, (ceil((heads + 2 kv_heads) * head_dim / 2 / 64), tokens, 1).
// Tolerance against the CPU twin: 1e-6 relative; in the packed cache one f16 step.

@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;       // qkv [tokens, heads + 2 kv_heads, head_dim]
@group(0) @binding(1) var<storage, read_write> table: array<f32>;     // table [positions, head_dim]: cos, sin of each pair
@group(0) @binding(2) var<storage, read_write> positions: array<i32>; // positions [tokens]
@group(0) @binding(3) var<storage, read_write> slots: array<i32>;     // slots [tokens]
@group(0) @binding(4) var<storage, read_write> cache: array<u32>;     // see common/pages.wgsl
@group(0) @binding(5) var<storage, read_write> q: array<f32>;         // q [tokens, heads, head_dim]

const HEADS: u32 = {{ heads }}u;
{% include "common/pages.wgsl" %}
const PAIRS: u32 = HEAD_DIM / 2u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= (HEADS + 2u * KV_HEADS) * PAIRS) {
        return;
    }
    let head = id.x / PAIRS;
    let pair = id.x % PAIRS;
    let from_at = id.y * (HEADS + 2u * KV_HEADS) * HEAD_DIM + 2u * id.x;
    var value = vec2<f32>(qkv[from_at], qkv[from_at + 1u]);
    if (head < HEADS + KV_HEADS) {
        let angle = u32(positions[id.y]) * HEAD_DIM + 2u * pair;
        let turn = vec2<f32>(table[angle], table[angle + 1u]);
        value = vec2<f32>(value.x * turn.x - value.y * turn.y, value.x * turn.y + value.y * turn.x);
    }
    if (head < HEADS) {
        let at = id.y * HEADS * HEAD_DIM + 2u * id.x;
        q[at] = value.x;
        q[at + 1u] = value.y;
        return;
    }
    let page = u32(slots[id.y]) / PAGE;
    let token = u32(slots[id.y]) % PAGE;
    let is_value = u32(head >= HEADS + KV_HEADS);
    let at = head_at(page, is_value, head - HEADS - is_value * KV_HEADS);
{% if f16 %}
    cache[at + select(pair * PAGE + token, token * WORDS + pair, is_value == 1u)] = pack2x16float(value);
{% else %}
    let first = at + select(2u * pair * PAGE + token, token * WORDS + 2u * pair, is_value == 1u);
    cache[first] = bitcast<u32>(value.x);
    cache[first + select(PAGE, 1u, is_value == 1u)] = bitcast<u32>(value.y);
{% endif %}
}
