import { Api, type Searched } from '../src/core/api';
import { parseBox, renderSides } from '../src/core/box';
import { makeNotebook, placeCell } from '../src/core/cells';
import { cubeOf, judgeMemory, listStocks, Planning } from '../src/core/planning';
import type { Question } from '../src/core/question';
import { parseRefusal, Refusal } from '../src/core/refusal';
import { NOTHING_NARROWED } from '../src/core/rows';
import { Searching } from '../src/core/searching';
import { chooseLanguage, sayBytes, sayDuration, speak } from '../src/core/words';
import { row } from './rows.test';

const soon = (milliseconds = 20) => new Promise(resolve => setTimeout(resolve, milliseconds));

function answering(lines: (question: Question, signal?: AbortSignal) => AsyncGenerator<Searched>) {
  const asked: Question[] = [];
  return {
    asked,
    search: (question: Question, _everywhere: boolean, signal?: AbortSignal) => {
      asked.push(question);
      return lines(question, signal);
    }
  };
}

test('what is said quickly is asked once, and rows are shown while others still come', async () => {
  const api = answering(async function* () {
    yield { rows: [row('a')] };
    await soon(200);
    yield { rows: [row('b', { start: '2019-01-01' })] };
    yield { done: 2 };
  });
  const searching = new Searching(api, 5);
  const seen: string[] = [];
  searching.answer.watch(() => seen.push(`${searching.answer.get().state} ${searching.answer.get().rows.length}`));
  searching.say({ place: 'T' });
  searching.say({ place: 'Toulouse' });
  await soon(400);
  expect(api.asked).toEqual([{ place: 'Toulouse' }]);
  expect(seen.slice(-2)).toEqual(['asking 1', 'done 2']);
  expect(searching.answer.get().rows.map(each => each.id)).toEqual(['b', 'a']);
});

test('rows in many parts at once are shown a few times, not once a part', async () => {
  const api = answering(async function* () {
    for (let at = 0; at < 400; at++) {
      yield { rows: [row(`i${at}`)] };
    }
    yield { done: 400 };
  });
  const searching = new Searching(api, 0);
  let changes = 0;
  searching.answer.watch(() => changes++);
  searching.say({ place: 'T' });
  await soon(300);
  expect(searching.answer.get()).toMatchObject({ state: 'done' });
  expect(searching.answer.get().rows).toHaveLength(400);
  expect(changes).toBeLessThan(10);
});

test('what came before an answer broke off is shown', async () => {
  const api = answering(async function* () {
    yield { rows: [row('a')] };
    throw new Refusal('Unreachable', '', '');
  });
  const searching = new Searching(api, 0);
  searching.say({ place: 'T' });
  await soon(50);
  expect(searching.answer.get()).toMatchObject({ state: 'refused', rows: [{ id: 'a' }] });
});

test('an answer to what is not asked any more is not shown', async () => {
  const api = answering(async function* (question, signal) {
    await soon(question.place === 'slow' ? 40 : 1);
    if (!signal?.aborted) {
      yield { rows: [row(String(question.place))] };
      yield { done: 1 };
    }
  });
  const searching = new Searching(api, 0);
  searching.say({ place: 'slow' });
  await soon(10);
  searching.say({ place: 'quick' });
  await soon(80);
  expect(searching.answer.get().rows.map(each => each.id)).toEqual(['quick']);
});

test('a refusal on the way, and a line that breaks, are told', async () => {
  const refusing = answering(async function* () {
    yield { rows: [row('a')] };
    yield { refused: { code: 'AskLess', message: 'too many', remedy: 'ask less' } };
  });
  const searching = new Searching(refusing, 0);
  searching.say({ place: 'x' });
  await soon();
  expect(searching.answer.get().state).toBe('refused');
  expect(searching.answer.get().refusal?.remedy).toBe('ask less');
  const broken = new Searching(
    answering(async function* () {
      yield { rows: [row('a')] };
    }),
    0
  );
  broken.say({ place: 'x' });
  await soon();
  expect(broken.answer.get().refusal?.code).toBe('Unreachable');
});

test('nothing asked is nothing found', async () => {
  const searching = new Searching(
    answering(async function* () {}),
    0
  );
  searching.say({ place: 'x' });
  searching.want({});
  await soon();
  expect(searching.answer.get().state).toBe('none');
});

test('lines are read however the network cuts them', async () => {
  const text = '{"rows":[]}\n{"done":0}\n{"refused":{"code":"é"}}\n';
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream({
    start(controller) {
      bytes.forEach(byte => controller.enqueue(Uint8Array.of(byte)));
      controller.close();
    }
  });
  const api = new Api(async () => new Response(body), 'fr');
  const lines: Searched[] = [];
  for await (const line of api.search({}, false)) {
    lines.push(line);
  }
  expect(lines).toEqual(
    text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
  );
});

test('a refusal has its words, and whatever else comes back has some', async () => {
  const refusing = new Api(
    async () => Response.json({ code: 'NotAllowed', message: 'no', remedy: 'ask' }, { status: 403 }),
    'fr'
  );
  await expect(refusing.vocabulary()).rejects.toMatchObject({ code: 'NotAllowed', message: 'no', remedy: 'ask' });
  const nonsense = new Api(async () => new Response('<html>', { status: 502 }), 'fr');
  await expect(nonsense.vocabulary()).rejects.toMatchObject({ code: 'HTTP502' });
  const away = new Api(async () => Promise.reject(new TypeError('Failed to fetch')), 'fr');
  await expect(away.vocabulary()).rejects.toMatchObject({ code: 'Unreachable' });
  expect(parseRefusal(400, null)).toBeInstanceOf(Refusal);
});

test('the plan follows the words, and a refusal takes its place', async () => {
  const choices = { items: 1, collections: ['a'], bands: [], masks: [], crs: [], resolution: 10 };
  const plan = { token: 't' } as never;
  const asked: unknown[] = [];
  const planning = new Planning(
    {
      choices: async () => choices,
      plan: async given => {
        asked.push(given.cube);
        if (given.cube.bands?.includes('no')) {
          throw new Refusal('BadRequest', 'no such band', 'change');
        }
        return plan;
      },
      cell: async () => ({ code: '', metadata: {} })
    },
    1
  );
  planning.open({ collections: ['a'] });
  await soon();
  expect(planning.draft.get()).toMatchObject({ state: 'planned', choices, plan });
  planning.choose({ bands: ['no'] });
  await soon();
  expect(planning.draft.get()).toMatchObject({ state: 'refused', choices });
  expect(planning.draft.get().plan).toBeUndefined();
  planning.choose({ bands: ['red'] });
  await soon();
  expect(asked[asked.length - 1]).toEqual({ bands: ['red'] });
  planning.close();
  expect(planning.draft.get()).toEqual({ state: 'closed' });
});

test('a cube is of one collection at one catalogue, and of what was narrowed', () => {
  const rows = [
    row('a', { collection: 'x' }),
    row('b', { collection: 'y', endpoint: 'geodes' }),
    row('c', { collection: 'y', endpoint: 'geodes' })
  ];
  const [most, other] = listStocks(rows);
  expect(most).toEqual({ collection: 'y', endpoint: 'geodes', items: 2, simulated: false });
  expect(listStocks([...rows, ...rows.map(each => ({ ...each, collection: 's', simulated: true }))])[0]).toEqual(most);
  expect(cubeOf(most, { theme: 'neige', time: '2018' }, rows, rows, NOTHING_NARROWED)).toEqual([
    { collections: ['y'], time: '2018' },
    'geodes'
  ]);
  const narrowing = { ...NOTHING_NARROWED, maxCloud: 20, platforms: new Set(['s2a']), words: 'a' };
  expect(cubeOf(other, { place: 'Thau' }, rows, [rows[0]], narrowing)).toEqual([
    { collections: ['x'], place: 'Thau', max_cloud: 20, platform: ['s2a'], ids: ['a'] },
    undefined
  ]);
});

test('memory is judged by what one may have', () => {
  const plan = { bytes: 100, peak: 10, limit: 1000 } as never;
  const judged = (more: object) => judgeMemory({ ...(plan as object), ...more } as never);
  expect(judged({})).toBe('fits');
  expect(judged({ bytes: 5000 })).toBe('lazily');
  expect(judged({ peak: 2000 })).toBe('too-much');
  expect(judged({ limit: null })).toBe('unknown');
});

test('a cell replaces the one of an earlier search, and nothing else', () => {
  const ours = { earthlab: { query: {} } };
  expect(placeCell([], -1)).toEqual({ at: 0, replaces: false });
  expect(placeCell([{}, {}], 0)).toEqual({ at: 1, replaces: false });
  expect(placeCell([{}, ours, {}], 0)).toEqual({ at: 1, replaces: true });
  expect(placeCell([ours, ours, {}], 2)).toEqual({ at: 3, replaces: false });
  expect(placeCell([ours, ours, {}], 1)).toEqual({ at: 1, replaces: true });
  expect(placeCell([{ earthlab: null }, 'odd'], 0)).toEqual({ at: 1, replaces: false });
  expect(JSON.stringify(makeNotebook({ code: 'x', metadata: ours }, 't'))).toContain('"earthlab"');
});

test('four typed numbers are a box, or the reason why not', () => {
  expect(parseBox(['1,5', '43', '2', ' 44 '])).toEqual([1.5, 43, 2, 44]);
  expect(parseBox(['170', '-20', '-170', '-10'])).toEqual([170, -20, -170, -10]);
  expect(parseBox(['', '1', '2', '3'])).toBe('number');
  expect(parseBox(['-181', '1', '2', '3'])).toBe('longitude');
  expect(parseBox(['1', '-91', '2', '3'])).toBe('latitude');
  expect(parseBox(['1', '4', '2', '3'])).toBe('order');
  expect(renderSides([1.123456789, 43, 2, 44])).toEqual(['1.12346', '43', '2', '44']);
});

test('words are French where nothing else is said, and values are put in', () => {
  expect(chooseLanguage(undefined)).toBe('fr');
  expect(chooseLanguage('default')).toBe('fr');
  expect(chooseLanguage('fr_FR')).toBe('fr');
  expect(chooseLanguage('en')).toBe('en');
  expect(speak('en')('total', { count: 3 })).toBe('3 items');
  expect(speak('fr')('total')).toBe('{count} produits');
  expect(sayBytes(1536, 'en')).toBe('1.5 KiB');
  expect(sayBytes(0, 'fr')).toBe('0 o');
  expect(sayDuration(120, 'en')).toBe('2 min');
});
