import fc from 'fast-check';
import { bandOf, isNatural, Layers, parseEnds, tileKey, tilePath, timeOf, type Offer } from '../src/core/layers';
import { Refusal } from '../src/core/refusal';
import { Stretching } from '../src/core/stretching';

const KERNEL = '11111111-1111-4111-8111-111111111111';

function offer(name: string, words: Partial<Offer> = {}): Offer {
  return {
    key: `live/${KERNEL}/${name}`,
    source: { kind: 'live', kernel: KERNEL, variable: name },
    title: name,
    bands: [
      { name: 'ndvi', unit: '1', look: { colormap: 'RdYlGn', low: 0, high: 0.9 } },
      { name: 'red', unit: 'W m-2', look: { colormap: 'viridis', low: null, high: null } }
    ],
    times: ['2018-01-01T00:00:00', '2018-02-01T00:00:00', '2018-03-01T00:00:00'],
    box: [0, 43, 1, 44],
    zoom: 14,
    simulated: false,
    version: 'one',
    ...words
  };
}

const outside: Offer = offer('plan', {
  key: 'outside/0',
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

test('a layer that is added lies on top, is chosen, and shows its last date', () => {
  const layers = new Layers();
  layers.add(offer('a'));
  const key = layers.add(offer('b'));
  const { layers: shown, chosen } = layers.stack.get();
  expect(shown.map(each => each.offer.title)).toEqual(['b', 'a']);
  expect(chosen).toBe(key);
  expect(timeOf(shown[0])).toBe('2018-03-01T00:00:00');
  expect(shown[0].look).toEqual({ colormap: 'RdYlGn', low: 0, high: 0.9 });
});

test('a layer of others lies below the data, and is not chosen in their place', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.add(outside);
  expect(layers.stack.get().layers.map(each => each.offer.title)).toEqual(['a', 'plan']);
  expect(layers.stack.get().chosen).toBe(key);
});

test('the same cube may be shown twice', () => {
  const layers = new Layers();
  expect(layers.add(offer('a'))).not.toBe(layers.add(offer('a')));
});

test('layers are moved, but not beyond the ends', () => {
  const layers = new Layers();
  const [low, high] = [layers.add(offer('low')), layers.add(offer('high'))];
  layers.move(high, -1);
  layers.move(low, 1);
  expect(layers.stack.get().layers.map(each => each.key)).toEqual([high, low]);
  layers.move(low, -1);
  expect(layers.stack.get().layers.map(each => each.key)).toEqual([low, high]);
});

test('however layers are added, moved and removed, the chosen one and those compared are among them', () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'remove', 'up', 'down', 'compare', 'times', 'choose'),
    at: fc.nat(5)
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const layers = new Layers();
      for (const { what, at } of steps) {
        const keys = layers.stack.get().layers.map(each => each.key);
        const key = keys[at % Math.max(1, keys.length)];
        if (what === 'add' || key === undefined) {
          layers.add(offer('a'));
        } else if (what === 'remove') {
          layers.remove(key);
        } else if (what === 'compare') {
          layers.compare(key, keys[0]);
        } else if (what === 'times') {
          layers.compareTimes(key);
        } else if (what === 'choose') {
          layers.choose(key);
        } else {
          layers.move(key, what === 'up' ? -1 : 1);
        }
        const { layers: left, chosen, swipe } = layers.stack.get();
        const there = left.map(each => each.key);
        expect(new Set(there).size).toBe(there.length);
        expect(there.length === 0 ? chosen === undefined : there.includes(chosen ?? '')).toBe(true);
        [swipe?.left, swipe?.right].forEach(side => expect(side === undefined || there.includes(side)).toBe(true));
      }
    })
  );
});

test('another band comes with its own look; what was refused is forgotten', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.refuse(key, new Refusal('AskLess', 'too much', 'zoom in'));
  layers.change(key, { opacity: 0.5 });
  expect(layers.find(key)?.refusal?.code).toBe('AskLess');
  layers.change(key, { band: 'red' });
  const layer = layers.find(key);
  expect(layer?.look.colormap).toBe('viridis');
  expect(layer?.refusal).toBeUndefined();
  expect(layer && bandOf(layer)?.unit).toBe('W m-2');
});

test('steps go round', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.step(key);
  expect(layers.find(key)?.at).toBe(0);
  layers.step(key, -1);
  expect(layers.find(key)?.at).toBe(2);
});

test('a tile is named by its layer, band, date and look, and nothing of a name escapes into the path', () => {
  const layers = new Layers();
  const key = layers.add(offer('../a?b&c'));
  const layer = layers.find(key)!;
  expect(tilePath(layer, 3, 4, 5)).toBe(
    `tiles/live/${KERNEL}/..%2Fa%3Fb%26c/3/4/5?band=ndvi&time=2018-03-01T00%3A00%3A00&low=0&high=0.9&colormap=RdYlGn&version=one`
  );
});

test('a shared cube has tiles of its own route, a layer of others none', () => {
  const layers = new Layers();
  const shared = layers.add(offer('a', { source: { kind: 'published', token: '0123456789abcdef0123' } }));
  expect(tilePath(layers.find(shared)!, 1, 0, 0)).toMatch(
    /^published\/0123456789abcdef0123\/tiles\/1\/0\/0\?band=ndvi/
  );
  expect(tilePath(layers.find(layers.add(outside))!, 1, 0, 0)).toBeUndefined();
});

test('two dates of a layer are compared with the same colours, the earlier at the left', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.compareTimes(key);
  const { swipe, layers: shown, chosen } = layers.stack.get();
  expect(swipe?.right).toBe(key);
  expect(timeOf(layers.find(swipe?.left)!)).toBe('2018-01-01T00:00:00');
  expect(shown[0].look).toEqual(shown[1].look);
  expect(chosen).toBe(key);
  layers.slide(7);
  expect(layers.stack.get().swipe?.share).toBe(1);
  layers.endSwipe();
  expect(layers.stack.get().swipe).toBeUndefined();
});

test('what is no more in the kernel says so, keeps its place, and is there again when its cell has run', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.meet('live', []);
  expect(layers.find(key)?.gone).toBe(true);
  layers.meet('live', [offer('a')]);
  expect(layers.find(key)?.gone).toBe(false);
});

test('a variable that is another is drawn anew, at the same date where it has it', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  layers.change(key, { at: 1, look: { colormap: 'magma', low: 1, high: 2 } });
  const before = tileKey(layers.find(key)!);
  layers.meet('live', [offer('a', { version: 'two', times: ['2018-02-01T00:00:00', '2019-01-01T00:00:00'] })]);
  const layer = layers.find(key)!;
  expect(timeOf(layer)).toBe('2018-02-01T00:00:00');
  expect(layer.look.colormap).toBe('magma');
  expect(tileKey(layer)).not.toBe(before);
});

test('what did not change is not drawn anew, unless that is asked for; then the browser does not answer for the kernel', () => {
  const layers = new Layers();
  const key = layers.add(offer('a'));
  const before = layers.find(key);
  layers.meet('live', [offer('a')]);
  expect(layers.find(key)).toBe(before);
  layers.meet('live', [offer('a')], true);
  expect(tileKey(layers.find(key)!)).not.toBe(tileKey(before!));
  expect(tilePath(layers.find(key)!, 1, 0, 0)).not.toContain('version=');
});

test('layers of another kind are left alone', () => {
  const layers = new Layers();
  const key = layers.add(outside);
  layers.meet('live', []);
  expect(layers.find(key)?.gone).toBe(false);
});

test('a layer waits for the ends of its colours, and all its dates are drawn with the same', async () => {
  const layers = new Layers();
  const asked: string[] = [];
  new Stretching(
    {
      stretch: async layer => {
        asked.push(layer.band);
        return { low: 1, high: 5 };
      }
    },
    layers
  );
  const key = layers.add(offer('a'));
  expect(layers.find(key)?.waits).toBe(false);
  layers.change(key, { band: 'red' });
  expect(layers.find(key)?.waits).toBe(true);
  await new Promise(resolve => setTimeout(resolve));
  expect(layers.find(key)).toMatchObject({ waits: false, look: { colormap: 'viridis', low: 1, high: 5 } });
  layers.change(key, { look: { colormap: 'magma', low: null, high: 9 } });
  await new Promise(resolve => setTimeout(resolve));
  expect(layers.find(key)).toMatchObject({ waits: false, look: { colormap: 'magma', low: 1, high: 9 } });
  expect(asked).toEqual(['red', 'red']);
});

test('where nobody knows the ends, they are left to the server', async () => {
  const layers = new Layers();
  new Stretching({ stretch: () => Promise.reject(new Refusal('BadRequest', 'nothing observed', '')) }, layers);
  const key = layers.add(
    offer('a', { bands: [{ name: 'b', unit: '', look: { colormap: 'gray', low: null, high: null } }] })
  );
  await new Promise(resolve => setTimeout(resolve));
  expect(layers.find(key)).toMatchObject({ waits: false, look: { low: null, high: null } });
  expect(tilePath(layers.find(key)!, 1, 0, 0)).not.toMatch(/low=|high=/);
});

test('typed ends are numbers in their order, with a decimal comma or none at all', () => {
  expect(parseEnds('0,1', ' 2.5 ')).toEqual({ low: 0.1, high: 2.5 });
  expect(parseEnds('', '3')).toEqual({ low: null, high: 3 });
  expect(parseEnds('3', '3')).toBeUndefined();
  expect(parseEnds('a', '3')).toBeUndefined();
});

test('red, green and blue together have no one value', () => {
  const look = { colormap: 'rgb', low: 0, high: 0.3 };
  expect(isNatural({ name: 'red,green,blue', unit: '1', look })).toBe(true);
  expect(isNatural({ name: 'red', unit: '1', look })).toBe(false);
});
