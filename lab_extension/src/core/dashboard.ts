import type { Cluster } from './clusters';

/** What a cluster did at one moment: seconds since 1970, percent of a core, bytes, tasks. */
export interface Sample {
  readonly at: number;
  readonly cpu: number;
  readonly memory: number;
  readonly running: number;
}

/** The last samples of each cluster by its name, the oldest first. */
export type History = ReadonlyMap<string, readonly Sample[]>;

/** Samples that are kept a cluster: five minutes of a look every three seconds. */
export const MOST_SAMPLES = 100;

/** The history with what is seen now; of a cluster that is gone, nothing is kept. */
export function keepSamples(history: History, clusters: readonly Cluster[], at: number): History {
  const kept = clusters.map(({ name, seen }) => {
    const before = history.get(name) ?? [];
    const now = seen && {
      at,
      cpu: seen.workers.reduce((sum, each) => sum + each.cpu, 0),
      memory: seen.memory,
      running: seen.tasks.reduce((sum, each) => sum + each.running, 0)
    };
    return [name, now === null ? before : [...before, now].slice(-MOST_SAMPLES)] as const;
  });
  return new Map(kept.filter(([, samples]) => samples.length > 0));
}

/** The points of a line over time in a box of so many pixels, as SVG takes them; the top stands for `most`. */
export function plotLine(
  samples: readonly Sample[],
  value: (sample: Sample) => number,
  most: number,
  [width, height]: readonly [number, number]
): string {
  if (samples.length === 0) {
    return '';
  }
  const [first, last] = [samples[0].at, samples[samples.length - 1].at];
  const x = (at: number) => (last > first ? (width * (at - first)) / (last - first) : width);
  const y = (amount: number) => height * (1 - (most > 0 ? Math.min(1, amount / most) : 0));
  return samples.map(each => `${round(x(each.at))},${round(y(value(each)))}`).join(' ');
}

/** The least round number that is at least so large: 1, 2 or 5 and zeros. */
export function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map(each => each * power).find(each => each >= value) ?? value;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
