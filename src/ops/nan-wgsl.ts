/**
 * WGSL functions for NaN and infinity. WGSL may assume that there is neither, so that only their bits can be
 * trusted, and a constant NaN does not compile.
 */
export const nanHelpers = /* wgsl */ `
fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }
fn is_odd(v: f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) == 0x7f800000u; }
fn not_a_number() -> f32 { return bitcast<f32>(0x7fc00000u | min(dims.count, 1u)); }`;
