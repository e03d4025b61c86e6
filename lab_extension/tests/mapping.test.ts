import { Api } from '../src/core/api';
import type { Ring } from '../src/core/footprints';
import { Layers, type Offer } from '../src/core/layers';
import { Links } from '../src/core/links';
import { Routes } from '../src/core/mapping';
import { Offering } from '../src/core/offers';
import { Reading } from '../src/core/reading';

const KERNEL = '11111111-1111-4111-8111-111111111111';
const TOKEN = '0123456789abcdef0123';
const STYLE = { colormap: 'viridis', low: 0, high: 1 };
const LAYER = {
  kernel: KERNEL, name: 'cube', bands: [{ name: 'ndvi', unit: '1', style: STYLE }], times: ['2018-01-01T00:00:00'],
  bounds: [0, 43, 1, 44], zoom: 14, simulated: true, version: 'v'
}; // prettier-ignore
const RING: Ring = [[0, 43], [1, 43], [1, 44], [0, 43]]; // prettier-ignore

type Answers = Record<string, unknown>;

/** The routes, before a server that gives these answers and notes what it was asked. */
function serve(answers: Answers) {
  const asked: { path: string; method: string; body: unknown }[] = [];
  const send = async (path: string, init: RequestInit) => {
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
    asked.push({ path, method: init.method ?? 'GET', body });
    const answer = answers[path.split('?')[0]];
    return answer === undefined
      ? new Response(JSON.stringify({ code: 'NothingFound', message: 'none', remedy: 'other' }), { status: 404 })
      : new Response(typeof answer === 'string' ? answer : JSON.stringify(answer));
  };
  const api = new Api(send, 'fr');
  return { api, routes: new Routes(api), asked };
}

function shown(offer: Offer) {
  const layers = new Layers();
  return layers.find(layers.add(offer))!;
}

test('layers of kernels become offers', async () => {
  const { routes } = serve({ layers: { layers: [LAYER], silent: ['x'] } });
  const { offers, silent } = await routes.live();
  expect(silent).toEqual(['x']);
  expect(offers[0]).toMatchObject({
    key: `live/${KERNEL}/cube`,
    title: 'cube',
    zoom: 14,
    simulated: true,
    version: 'v'
  });
  expect(offers[0].bands).toEqual([{ name: 'ndvi', unit: '1', look: STYLE }]);
});

test('a place and an area of a live layer are asked of its kernel', async () => {
  const { routes, asked } = serve({ layers: { layers: [LAYER], silent: [] }, series: {}, statistics: {} });
  const layer = shown((await routes.live()).offers[0]);
  await routes.series(layer, [0.5, 43.5]);
  await routes.statistics(layer, RING);
  expect(asked[1]).toEqual({
    path: 'series',
    method: 'POST',
    body: { kernel: KERNEL, variable: 'cube', band: 'ndvi', lon: 0.5, lat: 43.5 }
  });
  expect(asked[2].body).toEqual({
    kernel: KERNEL,
    variable: 'cube',
    band: 'ndvi',
    geometry: { type: 'Polygon', coordinates: [RING] }
  });
});

test('shared cubes are found in the catalogue, and asked when they are shown', async () => {
  const rows = [
    { id: `cube-${TOKEN}`, title: 'NDVI', start: '2018' },
    { id: 'cube-../../etc', title: 'no', start: '' }
  ];
  const { bands, times, bounds, zoom, simulated } = LAYER;
  const { api, routes, asked } = serve({
    layers: { layers: [], silent: [] },
    search: `${JSON.stringify({ rows })}\n${JSON.stringify({ done: 2 })}\n`,
    [`published/${TOKEN}`]: { token: TOKEN, title: 'NDVI', bands, times, bounds, zoom, simulated },
    [`published/${TOKEN}/series`]: { times: [], values: [], unit: '1' }
  });
  const layers = new Layers();
  const offering = new Offering(api, routes, layers);
  await offering.refresh();
  expect(offering.offers.get().shared).toEqual([{ token: TOKEN, title: 'NDVI', start: '2018' }]);
  const key = await offering.addShared(offering.offers.get().shared[0]);
  expect(layers.find(key)?.offer.source).toEqual({ kind: 'published', token: TOKEN });
  await routes.series(layers.find(key)!, [0.5, 43.5]);
  expect(asked[asked.length - 1]).toMatchObject({ path: `published/${TOKEN}/series`, body: { band: 'ndvi' } });
});

test('kernels that are busy keep their layers, those that have ended do not', async () => {
  const answers: Answers = { layers: { layers: [LAYER], silent: [] }, search: '{"done":0}\n' };
  const { api, routes } = serve(answers);
  const layers = new Layers();
  const offering = new Offering(api, routes, layers);
  await offering.refreshLive();
  const key = layers.add(offering.offers.get().live[0]);
  answers.layers = { layers: [], silent: [KERNEL] };
  await offering.refreshLive();
  expect(offering.offers.get()).toMatchObject({ silent: 1, live: [{ title: 'cube' }] });
  expect(layers.find(key)?.gone).toBe(false);
  answers.layers = { layers: [], silent: [] };
  await offering.refreshLive();
  expect(layers.find(key)?.gone).toBe(true);
});

test('what cannot be asked is said in words', async () => {
  const { api, routes } = serve({});
  const offering = new Offering(api, routes, new Layers());
  await offering.refresh();
  const { asking, liveRefusal, sharedRefusal } = offering.offers.get();
  expect([asking, liveRefusal?.code, sharedRefusal?.message]).toEqual([false, 'NothingFound', 'none']);
});

test('the last place that was pressed alone counts', async () => {
  const { routes } = serve({ layers: { layers: [LAYER], silent: [] } });
  const layer = shown((await routes.live()).offers[0]);
  const answers: ((value: number) => void)[] = [];
  const reading = new Reading({
    series: () =>
      new Promise(resolve => answers.push(value => resolve({ times: ['2018'], values: [value], unit: '1' }))),
    statistics: () => Promise.reject(new Error('a fault'))
  });
  const first = reading.readPlace([0, 43], [], layer);
  const second = reading.readPlace([1, 43], [], layer);
  answers[1](2);
  answers[0](1);
  await Promise.all([first, second]);
  expect(reading.place.get()).toMatchObject({ at: [1, 43], state: 'read', series: { values: [2] } });
  await reading.readArea(RING, layer);
  expect(reading.area.get()).toMatchObject({ state: 'refused', refusal: { code: 'Fault' } });
  reading.leavePlace();
  reading.leaveArea();
  expect([reading.place.get(), reading.area.get()]).toEqual([undefined, undefined]);
});

test('without a layer of values nobody is asked', async () => {
  const nobody = () => Promise.reject(new Error('asked'));
  const reading = new Reading({ series: nobody, statistics: nobody });
  await reading.readPlace([0, 0], [], undefined);
  await reading.readArea(RING, undefined);
  expect([reading.place.get()?.state, reading.area.get()?.state]).toEqual(['read', 'read']);
});

test('a picture that is refused is a refusal in words', async () => {
  const { routes } = serve({});
  await expect(routes.tile('tiles/live/x', new AbortController().signal)).rejects.toMatchObject({
    code: 'NothingFound'
  });
});

test('links are made, listed and revoked', async () => {
  const link = { id: 'a/b', title: 'NDVI', expires: '2026-12-01' };
  const { routes, asked } = serve({
    layers: { layers: [LAYER], silent: [] },
    links: { links: [link], ...link, url_xyz: 'https://x', url_wmts: 'https://w', steps: { fr: ['1'], en: ['1'] } },
    'links/a%2Fb': {}
  });
  const links = new Links(routes);
  const layer = shown({ ...(await routes.live()).offers[0], source: { kind: 'published', token: TOKEN } });
  const made = await links.make(layer, 7, 'https://lab.example');
  expect(made.url_xyz).toBe('https://x');
  expect(asked.find(each => each.path === 'links' && each.method === 'POST')?.body).toMatchObject({
    token: TOKEN, band: 'ndvi', time: '2018-01-01T00:00:00', style: STYLE, days: 7, origin: 'https://lab.example'
  }); // prettier-ignore
  expect(links.linked.get()).toEqual({ state: 'listed', list: [link] });
  await links.revoke('a/b');
  expect(asked.some(each => each.method === 'DELETE' && each.path === 'links/a%2Fb')).toBe(true);
  await links.revoke('other');
  expect(links.linked.get()).toMatchObject({ state: 'refused', refusal: { code: 'NothingFound' } });
});
