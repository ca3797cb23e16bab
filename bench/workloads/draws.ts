/** A linear congruential stream (Numerical Recipes' constants), so that every program in every language draws the same numbers. */
export class Draws {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** Uniform in [0, 1), of 32 bits. */
  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  /** `count` normal numbers of standard deviation `std` (Box-Muller, the cosine half). */
  normals(count: number, std: number): Float32Array {
    return Float32Array.from({ length: count }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
      return radius * Math.cos(2 * Math.PI * this.next()) * std;
    });
  }

  /** `count` whole numbers in [0, below). */
  integers(count: number, below: number): Int32Array {
    return Int32Array.from({ length: count }, () => Math.floor(this.next() * below));
  }
}
