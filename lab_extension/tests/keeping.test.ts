import fc from 'fast-check';
import { keepStack, parseKept, sharedToken, showKept } from '../src/core/keeping';
import { Layers, timeOf, type Offer } from '../src/core/layers';

const TOKEN = '0123456789abcdef0123';

function offer(key: string, words: Partial<Offer> = {}): Offer {
  return {
    key,
    source: { kind: 'published', token: TOKEN },
    title: key,
    bands: ['ndvi', 'red'].map(name => ({ name, unit: '1', look: { colormap: 'viridis', low: 0, high: 1 } })),
    times: ['2018-01-01', '2018-02-01', '2018-03-01'],
    box: null,
    zoom: 14,
    simulated: false,
    version: '',
    ...words
  };
}

const plan = offer('outside/0', {
  source: {
    kind: 'outside',
    service: 'xyz',
    url: 'https://tuiles.example/{z}/{x}/{y}.png',
    layer: '',
    attribution: ''
  },
  bands: [],
  times: []
});

function known(...offers: readonly Offer[]): ReadonlyMap<string, Offer> {
  return new Map(offers.map(each => [each.key, each]));
}

function anew(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

test('what was shown is shown again, as it was and in its order', () => {
  const before = new Layers();
  before.add(offer('a'));
  const map = before.add(plan);
  const b = before.add(offer('b'));
  before.move(map, -1); // now between the two
  before.change(b, { band: 'red', at: 1, look: { colormap: 'magma', low: -2, high: 5.5 }, opacity: 0.4 });
  before.change(map, { visible: false });
  before.compareTimes(b);
  before.slide(0.3);
  const after = new Layers();
  const missing = showKept(after, parseKept(anew(keepStack(before.stack.get()))), known(offer('a'), plan, offer('b')));
  expect(missing).toEqual([]);
  expect(keepStack(after.stack.get())).toEqual(keepStack(before.stack.get()));
  expect(after.stack.get().layers.map(each => each.offer.key)).toEqual(['b', 'b', 'outside/0', 'a']);
});

test('what is not there yet is given back, and the rest is shown', () => {
  const before = new Layers();
  before.add(offer('a'));
  before.add(offer('b'));
  const after = new Layers();
  const missing = showKept(after, keepStack(before.stack.get()), known(offer('a')));
  expect(missing.map(each => each.offer)).toEqual(['b']);
  expect(after.stack.get().layers.map(each => each.offer.key)).toEqual(['a']);
  expect(showKept(after, { layers: missing }, known(offer('b')))).toEqual([]);
  expect(after.stack.get().layers.map(each => each.offer.key)).toEqual(['b', 'a']);
});

test('a cube that has other dates and bands now is shown at its last', () => {
  const before = new Layers();
  before.change(before.add(offer('a')), { band: 'red', at: 0 });
  const after = new Layers();
  const other = offer('a', { times: ['2020-01-01', '2020-02-01'], bands: offer('a').bands.slice(0, 1) });
  showKept(after, keepStack(before.stack.get()), known(other));
  const [layer] = after.stack.get().layers;
  expect([layer.band, timeOf(layer)]).toEqual(['ndvi', '2020-02-01']);
});

test('where a layer comes from is not taken from what was kept, but from who offers it', () => {
  const after = new Layers();
  const evil = { ...plan.source, url: 'https://evil.example/{z}/{x}/{y}.png' };
  const kept = parseKept({
    layers: [
      { offer: 'outside/0', source: evil },
      { offer: 'outside/1', source: evil }
    ]
  });
  showKept(after, kept, known(plan));
  expect(after.stack.get().layers.map(each => each.offer)).toEqual([plan]);
});

test('whatever a workspace holds is understood as far as it can be, and shown without a fault', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(fc.jsonValue()), (whole, layers) => {
      for (const value of [whole, { layers, chosen: whole, swipe: whole, seen: whole }]) {
        const kept = parseKept(anew(value));
        expect(parseKept(anew(kept))).toEqual(kept);
        showKept(new Layers(), kept, known(offer('a')));
      }
    })
  );
});

test('only the token of a shared cube is one', () => {
  expect(sharedToken(`published/${TOKEN}`)).toBe(TOKEN);
  for (const key of [`published/${TOKEN}/..`, 'published/x', `live/${TOKEN}`, '']) {
    expect(sharedToken(key)).toBeUndefined();
  }
});
