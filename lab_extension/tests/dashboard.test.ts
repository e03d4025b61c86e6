import fc from 'fast-check';
import type { Cluster, Seen } from '../src/core/clusters';
import { keepSamples, MOST_SAMPLES, plotLine, roundUp, type History } from '../src/core/dashboard';

const WORKER = { name: 'w', threads: 1, memory: 10, limit: 100, cpu: 40, running: 1 };
const TASKS = { name: 'sum', done: 3, running: 2, waiting: 1, failed: 0 };
const SEEN: Seen = {
  workers: [WORKER, WORKER],
  count: 2,
  memory: 20,
  limit: 200,
  tasks: [TASKS, TASKS],
  ends_in: null
};

function cluster(name: string, seen: Seen | null = SEEN): Cluster {
  return { name, label: name, shared: false, status: 'RUNNING', started: 0, wanted: 2, seen };
}

test('a sample is the sum of all workers and tasks', () => {
  expect(keepSamples(new Map(), [cluster('a')], 5).get('a')).toEqual([{ at: 5, cpu: 80, memory: 20, running: 4 }]);
});

test('a scheduler that is silent for a moment leaves a gap, and a cluster that is gone nothing', () => {
  let history: History = new Map();
  history = keepSamples(history, [cluster('a'), cluster('b')], 1);
  history = keepSamples(history, [cluster('a', null), cluster('b')], 2);
  history = keepSamples(history, [cluster('a')], 3);
  expect(history.get('a')?.map(each => each.at)).toEqual([1, 3]);
  expect(history.has('b')).toBe(false);
});

test('no more than the last samples are kept', () => {
  let history: History = new Map();
  for (let at = 0; at < 3 * MOST_SAMPLES; at++) {
    history = keepSamples(history, [cluster('a')], at);
  }
  expect(history.get('a')).toHaveLength(MOST_SAMPLES);
  expect(history.get('a')?.at(-1)?.at).toBe(3 * MOST_SAMPLES - 1);
});

test('a line runs from the left to the right and stays in its box', () => {
  const samples = fc.array(fc.record({ step: fc.double({ min: 0, max: 60, noNaN: true }), cpu: fc.nat(900) }), {
    maxLength: 50
  });
  fc.assert(
    fc.property(samples, fc.nat(500), (steps, most) => {
      let at = 1e9;
      const line = plotLine(
        steps.map(({ step, cpu }) => ({ at: (at += step), cpu, memory: 0, running: 0 })),
        each => each.cpu,
        most,
        [320, 90]
      );
      const points = line === '' ? [] : line.split(' ').map(each => each.split(',').map(Number));
      expect(points).toHaveLength(steps.length);
      points.forEach(([x, y], place) => {
        expect(x).toBeGreaterThanOrEqual(place > 0 ? points[place - 1][0] : 0);
        expect(x).toBeLessThanOrEqual(320);
        expect(y).toBeGreaterThanOrEqual(0);
        expect(y).toBeLessThanOrEqual(90);
      });
    })
  );
  const two = [0, 50].map((cpu, at) => ({ at, cpu, memory: 0, running: 0 }));
  expect(plotLine(two, each => each.cpu, 100, [320, 90])).toBe('0,90 320,45');
});

test('an axis ends at a round number', () => {
  expect([0, 1, 3, 7, 11, 99, 200, 201].map(roundUp)).toEqual([1, 1, 5, 10, 20, 100, 200, 500]);
});
