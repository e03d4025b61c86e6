import type { Offer, Outside } from './layers';

const SERVICES: readonly string[] = ['xyz', 'wmts', 'wms'] satisfies readonly Outside['service'][];

/** The layers of the settings, and the titles of those that cannot be shown: whoever wrote them may have erred. */
export function parseOutside(value: unknown): {
  readonly offers: readonly Offer[];
  readonly faults: readonly string[];
} {
  const offers: Offer[] = [];
  const faults: string[] = [];
  (Array.isArray(value) ? value.slice(0, MOST) : []).forEach((each, at) => {
    const said = (typeof each === 'object' && each !== null ? each : {}) as Record<string, unknown>;
    const offer = parseOne(said, at);
    if (offer === undefined) {
      faults.push(text(said.title) || String(at + 1));
    } else {
      offers.push(offer);
    }
  });
  return { offers, faults };
}

const MOST = 50;

function parseOne(said: Record<string, unknown>, at: number): Offer | undefined {
  const [title, kind, url, layer] = [said.title, said.kind, said.url, said.layer].map(text);
  if (title === '' || !SERVICES.includes(kind) || !isWeb(url) || (kind !== 'xyz' && layer === '')) {
    return undefined;
  }
  const service = kind as Outside['service'];
  return {
    key: `outside/${at}/${url}/${layer}`,
    source: { kind: 'outside', service, url, layer, attribution: text(said.attribution) },
    title,
    bands: [],
    times: [],
    box: null,
    zoom: null,
    simulated: false,
    version: ''
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.trim().slice(0, 2000) : '';
}

function isWeb(url: string): boolean {
  try {
    return ['http:', 'https:'].includes(new URL(url).protocol);
  } catch {
    return false;
  }
}
