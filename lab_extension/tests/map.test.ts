import { readFileSync } from 'fs';
import { join } from 'path';
import fc from 'fast-check';
import { COLORMAPS, renderGradient } from '../src/core/colormaps';
import { planCurve, roundNumbers } from '../src/core/curve';
import { boxAround, findRows, holds, normBox, outlineOf, ringsOf, wrap } from '../src/core/footprints';
import { parseOutside } from '../src/core/outside';
import { Player } from '../src/core/playing';
import { findProjection, isGlobal, PROJECTIONS } from '../src/core/projections';
import type { Row } from '../src/core/rows';
import { planScale, sayAmount, sayMoment, sayPlace } from '../src/core/saying';
import { clipPolygons, decodeWorld, type Topology } from '../src/core/world';

const FRAME = { width: 320, height: 170, left: 48, bottom: 26 };

function row(words: Partial<Row>): Row {
  return {
    id: 'a', collection: 'c', endpoint: 'lab', start: '2018-01-01', end: '2018-01-01', bbox: [0, 0, 1, 1], ring: null,
    platform: '', instruments: [], cloud: null, licence: '', title: '', thumbnail: null, simulated: false, ...words
  }; // prettier-ignore
}

const longitude = fc.double({ min: -180, max: 180, noNaN: true });
const latitude = fc.double({ min: -90, max: 90, noNaN: true });

describe('footprints', () => {
  test('a box over the date line is two, on both sides of it', () => {
    const rings = ringsOf([179, -1, -178, 1]);
    expect(boxAround([[rings[0]]])).toEqual([179, -1, 180, 1]);
    expect(boxAround([[rings[1]]])).toEqual([-180, -1, -178, 1]);
  });

  test('an item lies where its ring is, else in its box, else nowhere', () => {
    const ring: Row['ring'] = [[0, 0], [2, 0], [2, 2], [0, 0]]; // prettier-ignore
    expect(outlineOf(row({ ring }))).toEqual([ring]);
    expect(outlineOf(row({}))).toEqual(ringsOf([0, 0, 1, 1]));
    expect(outlineOf(row({ bbox: null }))).toEqual([]);
  });

  test('a ring that jumps over the date line is not trusted', () => {
    const ring: Row['ring'] = [[179, 0], [-179, 0], [-179, 1], [179, 0]]; // prettier-ignore
    expect(outlineOf(row({ ring, bbox: [179, 0, -179, 1] }))).toEqual(ringsOf([179, 0, -179, 1]));
  });

  test('a place is within a box exactly where its numbers are', () => {
    fc.assert(
      fc.property(longitude, latitude, longitude, latitude, longitude, latitude, (w, s, e, n, x, y) => {
        fc.pre(s < n && w !== e);
        const between = w <= e ? w < x && x < e : x > w || x < e;
        const inside = between && s < y && y < n;
        const edge = [w, e, 180, -180].includes(x) || [s, n].includes(y);
        expect(edge || ringsOf([w, s, e, n]).some(ring => holds(ring, [x, y]))).toBe(edge || inside);
      })
    );
  });

  test('the first few items over a place are found', () => {
    const rows = [row({ id: '1' }), row({ id: '2', bbox: [5, 5, 6, 6] }), row({ id: '3' }), row({ id: '4' })];
    expect(findRows(rows, rows.map(outlineOf), [0.5, 0.5], 2).map(each => each.id)).toEqual(['1', '3']);
  });

  test('a drawn box is within the world, and crosses the date line where it was drawn so', () => {
    expect(normBox([170, -10, 190, 10])).toEqual([170, -10, -170, 10]);
    expect(normBox([-190, -100, -170, 100])).toEqual([170, -90, -170, 90]);
    expect(normBox([-300, 0, 100, 1])).toEqual([-180, 0, 180, 1]);
    fc.assert(fc.property(fc.double({ min: -1e4, max: 1e4, noNaN: true }), x => Math.abs(wrap(x)) <= 180));
  });
});

describe('the shipped world', () => {
  const world = decodeWorld(JSON.parse(readFileSync(join(__dirname, '../style/world.json'), 'utf8')) as Topology);

  test('has land where there is land, also in the overseas departments', () => {
    const onLand = (place: readonly [number, number]) => world.some(rings => holds(rings[0], place));
    const land = [[2.35, 48.85], [55.53, -21.13], [-53, 4], [178, 66], [-175, 67], [0, -80], [100, 60]] as const; // prettier-ignore
    land.forEach(place => expect([place, onLand(place)]).toEqual([place, true]));
    [[-30, 40], [60, -40], [-140, 0], [5, 42], [-175, 55.5]].forEach(([x, y]) =>
      expect([x, y, onLand([x, y])]).toEqual([x, y, false])
    ); // prettier-ignore
  });

  test('has closed rings, none of which jumps over the date line', () => {
    for (const ring of world.flat()) {
      expect(ring[0]).toEqual(ring[ring.length - 1]);
      ring.slice(1).forEach(([x], at) => {
        if (Math.abs(x - ring[at][0]) > 180) {
          expect(Math.abs(ring[at][1])).toBe(90); // along the pole
        }
      });
    }
  });

  test('is cut to a box', () => {
    const around = boxAround(clipPolygons(world, [-5, 41, 10, 52]));
    expect(around).toEqual([-5, 41, 10, 52]);
  });
});

describe('curves', () => {
  test('gaps stay gaps, and nothing observed is no curve', () => {
    const times = ['2018-01-01', '2018-02-01', '2018-03-01', '2018-04-01'];
    const curve = planCurve(times, [1, null, 2, 3], FRAME, 'fr');
    expect(curve?.parts.map(part => part.map(point => point.at))).toEqual([[0], [2, 3]]);
    expect(planCurve(times, [null, null, null, null], FRAME, 'fr')).toBeUndefined();
  });

  test('all points lie within the frame, higher values higher', () => {
    const values = fc.array(fc.option(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e200, max: 1e200 })), {
      minLength: 1,
      maxLength: 40
    });
    fc.assert(
      fc.property(values, list => {
        const times = list.map((_, at) => new Date(Date.UTC(2018, 0, 1 + at * 5)).toISOString());
        const points = planCurve(times, list, FRAME, 'en')?.parts.flat() ?? [];
        for (const { x, y } of points) {
          expect(x).toBeGreaterThanOrEqual(FRAME.left);
          expect(x).toBeLessThanOrEqual(FRAME.width);
          expect(y).toBeGreaterThanOrEqual(0);
          expect(y).toBeLessThanOrEqual(FRAME.height - FRAME.bottom + 1e-6);
        }
        const sorted = [...points].sort((a, b) => (list[a.at] ?? 0) - (list[b.at] ?? 0));
        sorted.slice(1).forEach((point, at) => expect(point.y).toBeLessThanOrEqual(sorted[at].y + 1e-6));
      })
    );
  });

  test('an axis that is no time is drawn by its steps', () => {
    const curve = planCurve(['0', '50', '200'], [1, 2, 3], FRAME, 'en');
    expect(curve?.across.map(tick => tick.text)).toEqual(['0', '200']);
  });

  test('numbers on the axis are round and span the values', () => {
    expect(roundNumbers(0.02, 0.81, 4)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
    expect(planCurve(['2018-01-01'], [0.3], FRAME, 'fr')?.up.map(tick => tick.text)).toContain('0,25');
  });
});

describe('playing', () => {
  test('goes on when a moment has been drawn, and ends when it is paused', async () => {
    let steps = 0;
    let drawn: () => void = () => undefined;
    const player = new Player(
      () => ++steps > 0,
      () => new Promise(resolve => (drawn = resolve)),
      () => 0
    );
    const soon = () => new Promise(resolve => setTimeout(resolve, 5));
    player.play();
    await soon();
    expect(steps).toBe(1);
    drawn();
    await soon();
    expect(steps).toBe(2);
    player.toggle();
    drawn();
    await soon();
    expect(steps).toBe(2);
    expect(player.playing.get()).toBe(false);
  });

  test('where there is no next moment it ends', () => {
    const player = new Player(
      () => false,
      () => Promise.resolve()
    );
    player.play();
    expect(player.playing.get()).toBe(false);
  });
});

describe('what is said', () => {
  test('places, moments, values and lengths in both languages', () => {
    expect(sayPlace([-1.5, 43.25], 'fr')).toBe('43,250° N, 1,500° O');
    expect(sayPlace([-1.5, -43.25], 'en')).toBe('43.250° S, 1.500° W');
    expect(sayMoment('2018-07-01T00:00:00', 'en')).toBe('Jul 1, 2018');
    expect(sayMoment('2018-07-01T10:51:00', 'en')).toBe('Jul 1, 2018, 10:51 UTC');
    expect(sayMoment('depth (2)', 'fr')).toBe('depth (2)');
    expect(sayAmount(0.123456, '1', 'fr')).toBe('0,1235');
    expect(sayAmount(1e-6, 'm', 'en')).toBe('1.00e-6 m');
    expect(planScale(10, 140, 'en')).toEqual({ pixels: 100, text: '1 km' });
    expect(planScale(0.5, 140, 'fr')).toEqual({ pixels: 100, text: '50 m' });
  });
});

describe('configured layers', () => {
  const sound = { title: 'Ortho', kind: 'xyz', url: 'https://tuiles.example/{z}/{x}/{y}.png' };

  test('are offered where they can be shown', () => {
    const { offers, faults } = parseOutside([
      sound,
      { ...sound, kind: 'wms', url: 'https://wms.example/ows', layer: 'a' }
    ]);
    expect(offers.map(each => each.title)).toEqual(['Ortho', 'Ortho']);
    expect(new Set(offers.map(each => each.key)).size).toBe(2);
    expect(faults).toEqual([]);
  });

  test('are named where they cannot', () => {
    const wrong = [
      { ...sound, title: 'script', url: 'javascript:alert(1)' },
      { ...sound, title: 'file', url: 'file:///etc/passwd' },
      { ...sound, title: 'kind', kind: 'ftp' },
      { ...sound, title: 'nameless', kind: 'wmts' },
      { ...sound, title: '' },
      null
    ];
    expect(parseOutside(wrong)).toEqual({ offers: [], faults: ['script', 'file', 'kind', 'nameless', '5', '6'] });
    expect(parseOutside('nonsense')).toEqual({ offers: [], faults: [] });
  });
});

test('each projection but the web’s own and degrees says how it is made, and where it is used', () => {
  expect(PROJECTIONS.filter(isGlobal).map(each => each.code)).toEqual(['EPSG:3857', 'EPSG:4326']);
  expect(PROJECTIONS.filter(each => !isGlobal(each)).every(each => each.definition?.startsWith('+proj='))).toBe(true);
  expect(findProjection('EPSG:1')).toBe(PROJECTIONS[0]);
});

test('a colour map is drawn where it is known', () => {
  expect(renderGradient('viridis')).toMatch(/^linear-gradient\(to right, #440154, .*#fde725\)$/);
  expect(renderGradient('constructor')).toBeUndefined();
  expect(Object.values(COLORMAPS).every(colours => colours.length === 9)).toBe(true);
});
