import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { NotHere, WrongResult } from "./errors.ts";
import { countOthers } from "./others.ts";
import { say, sayNowAndThen } from "./progress.ts";
import type { Facts } from "./side.ts";
import { best } from "./statistics.ts";

/** A program that speaks the protocol of `serve`. */
export interface Contender {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Rounds that are played whatever they take, and seconds after which no other begins. */
const [FEWEST_ROUNDS, MOST_SECONDS] = [3, 120];
/** A contender that says nothing for so long is stopped. */
const SILENCE_MS = 20 * 60 * 1000;

/** How long a contest is. */
export interface Length {
  /** Units of work before any that count. */
  readonly warmUp: number;
  /** At most; a slow contest ends earlier. */
  readonly rounds: number;
  /** Units of work in a round. */
  readonly units: number;
}

/** What a contender did. */
export interface Outcome {
  readonly name: string;
  readonly facts: Facts;
  /** Milliseconds of the units before the rounds. */
  readonly warmUp: readonly number[];
  /** Milliseconds of the units that count. */
  readonly times: readonly number[];
  /** Losses of all steps, those of the warm-up too. */
  readonly losses: readonly number[];
  /** Cores busy during the rounds, on average. */
  readonly cores: number;
  /** Peak memory of the process in MB (10^6 bytes). */
  readonly peakMb: number;
}

/** Any line of the protocol. */
interface Answer {
  readonly facts?: Facts;
  /** Why the contender cannot take part. */
  readonly missing?: string;
  readonly times?: readonly number[];
  readonly losses?: readonly number[];
  readonly cpuMs?: number;
  readonly wallMs?: number;
  readonly peakMb?: number;
}

/**
 * Let contenders work in turns, each in a process of its own that waits while another works, so that what else happens on the
 * machine hits all alike. Every other round goes backwards.
 *
 * @throws NotHere when a contender says that it lacks something, WrongResult when one dies
 */
export async function contest(contenders: readonly Contender[], { warmUp, rounds, units }: Length): Promise<Outcome[]> {
  const players: Player[] = [];
  try {
    for (const contender of contenders) {
      say(`${contender.name}: start`);
      players.push(await Player.start(contender));
    }
    if (warmUp > 0) for (const player of players) player.warmUp = await player.play(warmUp, "warm-up");
    const end = performance.now() + MOST_SECONDS * 1000;
    for (let round = 0; round < rounds && (round < FEWEST_ROUNDS || performance.now() < end); round++) {
      const order = round % 2 === 0 ? players : players.toReversed();
      for (const player of order) player.rounds.push(await player.play(units, `round ${round + 1} of ${rounds}`));
    }
    return await Promise.all(players.map((player) => player.finish()));
  } finally {
    for (const player of players) player.stop();
  }
}

class Player {
  warmUp: Answer = {};
  readonly rounds: Answer[] = [];
  readonly #contender: Contender;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #facts: Facts = {};
  #errors = "";

  private constructor(contender: Contender) {
    this.#contender = contender;
    const env = { ...process.env, ...contender.env };
    this.#process = spawn(contender.command, contender.args, { env, stdio: ["pipe", "pipe", "pipe"] });
    const { stdout, stderr } = this.#process;
    if (!stdout || !stderr) throw new WrongResult(`${contender.name}: no pipe to the process`);
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    stderr.on("data", (text) => {
      this.#errors = `${this.#errors}${text}`.slice(-2000);
    });
    // Writing to a process that has died: the next answer says why.
    this.#process.stdin?.on("error", () => {});
    this.#process.on("error", (error) => {
      this.#errors += error.message;
    });
  }

  static async start(contender: Contender): Promise<Player> {
    const player = new Player(contender);
    try {
      const { facts, missing } = await player.#answer();
      if (missing) throw new NotHere(missing);
      player.#facts = facts ?? {};
      return player;
    } catch (error) {
      player.stop();
      throw error;
    }
  }

  async play(units: number, what: string): Promise<Answer> {
    const answer = await countOthers(() => {
      this.#process.stdin?.write(`${units}\n`);
      return this.#answer();
    });
    sayNowAndThen(`${this.#contender.name}: ${what}, ${best(answer.times ?? []).toPrecision(3)} ms`);
    return answer;
  }

  async finish(): Promise<Outcome> {
    this.#process.stdin?.end();
    const { peakMb = Number.NaN } = await this.#answer();
    const { warmUp, rounds } = this;
    const total = (of: "cpuMs" | "wallMs"): number => rounds.reduce((sum, round) => sum + (round[of] ?? 0), 0);
    return {
      name: this.#contender.name,
      facts: this.#facts,
      warmUp: warmUp.times ?? [],
      times: rounds.flatMap(({ times = [] }) => times),
      losses: [warmUp, ...rounds].flatMap(({ losses = [] }) => losses),
      cores: total("cpuMs") / total("wallMs"),
      peakMb,
    };
  }

  stop(): void {
    if (this.#process.exitCode === null) this.#process.kill();
  }

  /** The next line that is an object in JSON; programs may print other lines. */
  async #answer(): Promise<Answer> {
    const patience = setTimeout(() => this.stop(), SILENCE_MS);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (!done && !value.startsWith("{")) continue;
      clearTimeout(patience);
      if (done) break;
      return JSON.parse(value) as Answer;
    }
    if (this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid) await once(this.#process, "exit");
    const { exitCode, signalCode } = this.#process;
    const last = this.#errors.trim().split("\n").slice(-3).join(" | ");
    throw new WrongResult(`${this.#contender.name} ended (${signalCode ?? `exit code ${exitCode}`}): ${last || "no message"}`);
  }
}
