import type { Ledger } from "./ledger.ts";

/** Growth of the live bytes, as a share of the budget, after which dropped tensors are looked for; and its upper bound in bytes. */
const SHARE = 1 / 8;
const MOST = 128 * 1024 * 1024;

/**
 * Runs the garbage collector when many GPU bytes have been leased since the last time. The engine does not see GPU memory, so in a
 * loop that drops its tensors without `tidy` it would collect too late.
 */
export class Collector {
  readonly #ledger: Ledger;
  readonly #collect: (() => void) | null;
  #baseline = 0;

  /** @param collect runs a full collection; null where the engine offers none */
  constructor(ledger: Ledger, collect: (() => void) | null) {
    this.#ledger = ledger;
    this.#collect = collect;
  }

  /** Call it where the program waits anyway: finalizers run between two turns of the event loop. */
  async visit(): Promise<void> {
    const { live, budget } = this.#ledger;
    this.#baseline = Math.min(this.#baseline, live);
    if (!this.#collect || live - this.#baseline < Math.min(SHARE * budget, MOST)) return;
    this.#collect();
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#baseline = this.#ledger.live;
  }
}
