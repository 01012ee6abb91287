// Queries, keys and values on their way from their projection into attention: bias, norm of each query and key
// head, rotary position embedding in interleaved pairs; k and v go into the cache.
//
//     x = qkv[t, h] + bias[h]                                               bias
//     x = x * gain / sqrt(mean_i x[i]^2 + epsilon)   for q and k            norm
//     q[t, h, 2i]   = x[2i] * cos(p * f_i) - x[2i+1] * sin(p * f_i)
//     q[t, h, 2i+1] = x[2i] * sin(p * f_i) + x[2i+1] * cos(p * f_i),   p = positions[t]
//
// and likewise k; cos and sin come from a table, since WGSL's own lose precision on large angles. Token t's k and
// v go to slots[t] = page * PAGE + place in the page.
// Source: Su et al. 2021 (arXiv 2104.09864), eq. 34; Zhang & Sennrich 2019 (arXiv 1910.07467), eq. 4. GGUF's llama
// models store q and k permuted so that pairs are neighbours; the loader does it for the others.
// Dispatch: one invocation a pair, (ceil((heads + 2 kv_heads) * head_dim / 2 / 64), tokens, 1); with a norm, one
// workgroup a head, (heads + 2 kv_heads, tokens, 1).
// Tolerance against the CPU twin: 1e-6 relative, 1e-5 with a norm; in the packed cache one f16 step.

@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;       // qkv [tokens, heads + 2 kv_heads, head_dim]
@group(0) @binding(1) var<storage, read_write> table: array<f32>;     // table [positions, head_dim]: cos, sin of each pair
@group(0) @binding(2) var<storage, read_write> positions: array<i32>; // positions [tokens]
@group(0) @binding(3) var<storage, read_write> slots: array<i32>;     // slots [tokens]
@group(0) @binding(4) var<storage, read_write> cache: array<u32>;     // see common/pages.wgsl
@group(0) @binding(5) var<storage, read_write> q: array<f32>;         // q [tokens, heads, head_dim]
{% if bias or norm %}
@group(0) @binding(6) var<storage, read_write> bias_gains: array<f32>; // bias [heads + 2 kv_heads, head_dim] and gains [2, head_dim], each if there is one
{% endif %}

const HEADS: u32 = {{ heads }}u;
{% include "common/pages.wgsl" %}
const PAIRS: u32 = HEAD_DIM / 2u;
const ALL_HEADS: u32 = HEADS + 2u * KV_HEADS;

// A pair of a head's dims, its bias added.
fn load(token: u32, head: u32, pair: u32) -> vec2<f32> {
    let at = head * HEAD_DIM + 2u * pair;
    let from_at = token * ALL_HEADS * HEAD_DIM + at;
    let value = vec2<f32>(qkv[from_at], qkv[from_at + 1u]);
{% if bias %}
    return value + vec2<f32>(bias_gains[at], bias_gains[at + 1u]);
{% else %}
    return value;
{% endif %}
}

// Turns a pair and puts it where it belongs.
fn place(token: u32, head: u32, pair: u32, from_load: vec2<f32>) {
    var value = from_load;
    if (head < HEADS + KV_HEADS) {
        let angle = u32(positions[token]) * HEAD_DIM + 2u * pair;
        let turn = vec2<f32>(table[angle], table[angle + 1u]);
        value = vec2<f32>(value.x * turn.x - value.y * turn.y, value.x * turn.y + value.y * turn.x);
    }
    if (head < HEADS) {
        let at = (token * HEADS + head) * HEAD_DIM + 2u * pair;
        q[at] = value.x;
        q[at + 1u] = value.y;
        return;
    }
    let page = u32(slots[token]) / PAGE;
    let slot = u32(slots[token]) % PAGE;
    let is_value = u32(head >= HEADS + KV_HEADS);
    let at = head_at(page, is_value, head - HEADS - is_value * KV_HEADS);
{% if f16 %}
    cache[at + select(pair * PAGE + slot, slot * WORDS + pair, is_value == 1u)] = pack2x16float(value);
{% else %}
    let first = at + select(2u * pair * PAGE + slot, slot * WORDS + 2u * pair, is_value == 1u);
    cache[first] = bitcast<u32>(value.x);
    cache[first + select(PAGE, 1u, is_value == 1u)] = bitcast<u32>(value.y);
{% endif %}
}
{% if norm %}

{% set members = 64 %}
{% include "common/reduce.wgsl" %}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    var mine = 0.0;
    for (var pair = lane; pair < PAIRS; pair += 64u) {
        let value = load(group.y, group.x, pair);
        mine += dot(value, value);
    }
    let scale = inverseSqrt(workgroup_sum(mine, lane) / f32(HEAD_DIM) + {{ epsilon }});
    // The queries' gain, then the keys'.
    let gains = {{ "ALL_HEADS * HEAD_DIM" if bias else "0u" }} + select(0u, HEAD_DIM, group.x >= HEADS);
    for (var pair = lane; pair < PAIRS; pair += 64u) {
        var value = load(group.y, group.x, pair);
        if (group.x < HEADS + KV_HEADS) {
            value *= scale * vec2<f32>(bias_gains[gains + 2u * pair], bias_gains[gains + 2u * pair + 1u]);
        }
        place(group.y, group.x, pair, value);
    }
}
{% else %}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= ALL_HEADS * PAIRS) {
        return;
    }
    let head = id.x / PAIRS;
    let pair = id.x % PAIRS;
    place(id.y, head, pair, load(id.y, head, pair));
}
{% endif %}
