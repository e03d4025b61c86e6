import * as fc from 'fast-check';
import { cellOf, Clusters, parseWorkers, sumTasks } from '../src/core/clusters';
import { Refusal } from '../src/core/refusal';

const TOLD = { clusters: [], free_workers: 2, max_workers: 4, max_clusters: 2, room: 8 };

function fake(
  answers: { get?: () => Promise<unknown>; post?: (path: string, body: unknown) => Promise<unknown> } = {}
) {
  const asked: unknown[] = [];
  return {
    asked,
    get: ((path: string) => {
      asked.push(path);
      return (answers.get ?? (() => Promise.resolve(TOLD)))();
    }) as never,
    post: ((path: string, body: unknown) => {
      asked.push([path, body]);
      return (answers.post ?? (() => Promise.resolve({})))(path, body);
    }) as never
  };
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe('the clusters', () => {
  it('are read every few seconds while somebody looks, and not after', async () => {
    const api = fake();
    const clusters = new Clusters(api, 3000);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(api.asked).toHaveLength(0);
    clusters.look();
    clusters.look();
    await jest.advanceTimersByTimeAsync(6_500);
    expect(api.asked).toHaveLength(3);
    clusters.leave(); // one of the two still looks
    await jest.advanceTimersByTimeAsync(3_000);
    expect(api.asked).toHaveLength(4);
    clusters.leave();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(api.asked).toHaveLength(4);
    expect(clusters.panel.get()).toMatchObject({ state: 'there', free_workers: 2 });
  });

  it('stay in sight where they cannot be read for a while', async () => {
    const away = () => Promise.reject(new Refusal('ComputeUnavailable', 'away', ''));
    const answers = [() => Promise.resolve(TOLD), away];
    const clusters = new Clusters(fake({ get: () => (answers.shift() ?? (() => Promise.resolve(TOLD)))() }), 1000);
    clusters.look();
    await jest.advanceTimersByTimeAsync(1000);
    expect(clusters.panel.get()).toMatchObject({ state: 'refused', clusters: [], refusal: { message: 'away' } });
    await jest.advanceTimersByTimeAsync(1000);
    expect(clusters.panel.get()).toMatchObject({ state: 'there', refusal: undefined });
    clusters.leave();
  });

  it('do not change any more once nobody looks', async () => {
    let answer: (told: unknown) => void = () => undefined;
    const clusters = new Clusters(fake({ get: () => new Promise(resolve => (answer = resolve)) }));
    clusters.look();
    clusters.leave();
    answer(TOLD);
    await jest.advanceTimersByTimeAsync(10);
    expect(clusters.panel.get().state).toBe('none');
  });

  it('are read anew as soon as something was done', async () => {
    const api = fake();
    const clusters = new Clusters(api);
    clusters.look();
    await jest.advanceTimersByTimeAsync(0);
    expect(await clusters.scale('abc', 3)).toBe(true);
    expect(api.asked).toEqual(['clusters', ['clusters/scale', { name: 'abc', workers: 3 }], 'clusters']);
    clusters.leave();
  });

  it('say why something was not done, until the next thing is', async () => {
    const denied = new Refusal('ComputeUnavailable', 'the limit is 4', '');
    const posts = [() => Promise.reject(denied), () => Promise.resolve({})];
    const clusters = new Clusters(fake({ post: () => posts.shift()!() as never }));
    expect(await clusters.start(9)).toBe(false);
    expect(clusters.panel.get()).toMatchObject({ denied, doing: undefined });
    expect(await clusters.adapt('abc', 0, 2)).toBe(true);
    expect(clusters.panel.get().denied).toBeUndefined();
  });

  it('have one thing done at a time', async () => {
    let answer: (told: unknown) => void = () => undefined;
    const api = fake({ post: () => new Promise(resolve => (answer = resolve)) });
    const clusters = new Clusters(api);
    const started = clusters.start();
    expect(clusters.panel.get().doing).toBe('start');
    expect(await clusters.stop('abc')).toBe(false);
    answer({});
    expect(await started).toBe(true);
    expect(api.asked).toEqual([['clusters', {}]]);
  });
});

describe('the cell', () => {
  it('computes on one’s own cluster by the beginning of its name, and on a workshop’s by what people call it', () => {
    expect(cellOf({ name: '0123456789abcdef', label: '01234567', shared: false })).toBe(
      'import earthlab as el\n\nwith el.cluster("0123456789ab") as client:\n    print(client)'
    );
    expect(cellOf({ name: 'x', label: 'atelier-neige', shared: true })).toContain('el.cluster("atelier-neige")');
  });
  it('holds no name that could be more than a text', () => {
    fc.assert(
      fc.property(fc.fullUnicodeString(), label => {
        const line = cellOf({ name: '', label, shared: true }).split('\n')[2];
        expect(line).toMatch(/^with el\.cluster\("(?:[^"\\\x7f-\uffff]|\\["\\bfnrt]|\\u[0-9a-f]{4})*"\) as client:$/);
      })
    );
  });
});

describe('what people read', () => {
  it('is the sum of all tasks', () => {
    const row = { name: 'a', done: 1, running: 2, waiting: 3, failed: 4 };
    expect(sumTasks([row, row])).toEqual({ done: 2, running: 4, waiting: 6, failed: 8, all: 20 });
    expect(sumTasks([]).all).toBe(0);
  });
  it.each([
    ['3', 3],
    [' 0 ', 0],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['12345', undefined]
  ])('is a whole number of workers: %p', (typed, found) => {
    expect(parseWorkers(typed)).toBe(found);
  });
});
