// WGSL functions for `helpers` of elementwise ops; V and I are four floats and four integers, `nan_or` is always there.

/** `log_of(x)` with NaN for NaN and below 0, where a driver may give any number. */
export const LOG = /* wgsl */ `
fn log_of(x: V) -> V {
  return nan_or(x, select(log(x), bitcast<V>(bitcast<I>(x) | I(0x7fc00000)), x < V(0.0)));
}`;

/** `ordered(a, b)`: 1 where neither is NaN, else 0. Integers have to be converted to V first. */
export const ORDERED = /* wgsl */ `
fn ordered(a: V, b: V) -> I {
  let larger = max(bitcast<I>(a) & I(0x7fffffff), bitcast<I>(b) & I(0x7fffffff));
  return select(I(0), I(1), larger <= I(0x7f800000));
}`;

/**
 * `tanh_of(x)`, within 2 units of the last place: WGSL's own `tanh` overflows to NaN on some drivers.  Below 0.625 the odd polynomial of Moshier's Cephes (tanhf), above `1 - 2 / (exp(2|x|) + 1)`.
 */
export const TANH = /* wgsl */ `
fn tanh_of(x: V) -> V {
  let m = min(abs(x), V(10.0));
  let z = m * m;
  let near = m + m * z * (V(-3.33332819422e-1) + z * (V(1.33314422036e-1) + z * (V(-5.37397155531e-2)
    + z * (V(2.06390887954e-2) + z * V(-5.70498872745e-3)))));
  let y = select(V(1.0) - V(2.0) / (exp(V(2.0) * m) + V(1.0)), near, m < V(0.625));
  return nan_or(x, select(y, -y, x < V(0.0)));
}`;

/**
 * `erf_of(x)`, within 1.7e-7 relative: Chebyshev fits of `erf(x) / x` in x² on [0, 1] and of `-log erfc(x)`
 * on [1, 4], made with 40 digits.
 */
export const ERF = /* wgsl */ `
fn erf_of(x: V) -> V {
  let m = min(abs(x), V(4.0));
  let z = m * m;
  let near = m * (V(1.12837911) + z * (V(-0.37612626) + z * (V(0.112835944) + z * (V(-0.0268542115)
    + z * (V(0.00518908724) + z * (V(-0.00080168643) + z * V(7.87587487e-5)))))));
  let exponent = V(-0.000320138060) + m * (V(1.13023341) + m * (V(0.631826043) + m * (V(0.110080086)
    + m * (V(-0.0264211353) + m * (V(0.0047595962) + m * (V(-0.00059680565) + m * (V(4.60580413e-5)
    + m * V(-1.63713994e-6))))))));
  let y = select(V(1.0) - exp(-exponent), near, m < V(1.0));
  return nan_or(x, select(y, -y, x < V(0.0)));
}`;

/**
 * `sine_of(x, 0)` is sin x, `sine_of(x, 1)` cos x; within 2e-7 up to 8192 radians, where WGSL's own promise
 * is 5e-4. Reduced by π/2 in three parts (Cody & Waite), then the polynomials of Moshier's Cephes (sinf,
 * cosf) on [-π/4, π/4].
 */
export const SINE = /* wgsl */ `
fn sine_of(x: V, shift: i32) -> V {
  let turns = round(x * V(0.636619772));
  let r = ((x - turns * V(1.5703125)) - turns * V(4.83751296997e-4)) - turns * V(7.54978995489e-8);
  let z = r * r;
  let odd = r + r * z * (V(-1.6666654611e-1) + z * (V(8.3321608736e-3) + z * V(-1.9515295891e-4)));
  let even = V(1.0) - V(0.5) * z
    + z * z * (V(4.16666456830e-2) + z * (V(-1.38873162549e-3) + z * V(2.44331571181e-5)));
  let quarter = I(turns) + I(shift);
  let y = select(odd, even, (quarter & I(1)) == I(1));
  return select(y, -y, (quarter & I(2)) == I(2));
}`;
