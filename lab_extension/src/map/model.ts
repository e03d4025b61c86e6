import { Changing } from '../core/changing';
import { findRows, outlineOf, ringsOf, type Corner, type Ring } from '../core/footprints';
import { Layers, type Layer } from '../core/layers';
import { Links } from '../core/links';
import type { Routes } from '../core/mapping';
import { Offering } from '../core/offers';
import { CALM_PACE, PACE, Player } from '../core/playing';
import { PROJECTIONS } from '../core/projections';
import type { Box } from '../core/question';
import { Reading } from '../core/reading';
import type { Row } from '../core/rows';
import { Stretching } from '../core/stretching';
import type { IEarthlab } from '../tokens';
import type { OpenMap, Seen } from './openlayers';

/** Rows that are named where they lie over each other. */
const MOST_NAMED = 8;

export interface Footprints {
  readonly rows: readonly Row[];
  readonly outlines: readonly (readonly Ring[])[];
}

/** What the user is drawing, with ways to end it otherwise than by the pointer. */
export interface Drawing {
  readonly kind: 'box' | 'area';
  take(box: Box): void;
  giveUp(): void;
}

/** All that the map and the panel beside it show; it lives longer than the map's tab. */
export class MapModel {
  readonly layers = new Layers();
  readonly reading: Reading;
  readonly links: Links;
  readonly offering: Offering;
  readonly player: Player;
  readonly canvas = new Changing<OpenMap | undefined>(undefined);
  readonly projection = new Changing(PROJECTIONS[0].code);
  readonly footprints = new Changing<Footprints>({ rows: [], outlines: [] });
  readonly marked = new Changing<Row | undefined>(undefined);
  readonly seen = new Changing<Seen | undefined>(undefined);
  readonly drawing = new Changing<Drawing | undefined>(undefined);
  private readOf = '';

  constructor(
    readonly shared: IEarthlab,
    readonly routes: Routes
  ) {
    this.reading = new Reading(routes);
    this.links = new Links(routes);
    new Stretching(routes, this.layers);
    this.offering = new Offering(shared.api, routes, this.layers);
    this.player = new Player(
      () => this.stepChosen(),
      () => this.canvas.get()?.drawnAll() ?? Promise.resolve(),
      () => (isCalm() ? CALM_PACE : PACE)
    );
    this.layers.stack.watch(() => this.readAgain());
  }

  showRows(rows: readonly Row[]): void {
    this.footprints.set({ rows, outlines: rows.map(outlineOf) });
  }

  /** The items over a place, few of them. */
  rowsAt(place: Corner): readonly Row[] {
    const { rows, outlines } = this.footprints.get();
    return findRows(rows, outlines, place, MOST_NAMED);
  }

  /** Say what there is at a place. */
  read(place: Corner): void {
    const layer = this.layers.find(this.layers.stack.get().chosen);
    this.readOf = nameValues(layer);
    void this.reading.readPlace(place, this.rowsAt(place), layer);
  }

  /** Read the same place of what is chosen now, where that has other values. */
  private readAgain(): void {
    const place = this.reading.place.get();
    if (place !== undefined && nameValues(this.layers.find(this.layers.stack.get().chosen)) !== this.readOf) {
      this.read(place.at);
    }
  }

  /** Have the user draw a box; undefined where it is given up. */
  drawBox(): Promise<Box | undefined> {
    return this.draw(
      'box',
      (map, signal) => map.drawBox(signal),
      box => box
    );
  }

  /** Have the user draw an area, and read it. */
  async drawArea(): Promise<void> {
    const ring = await this.draw<Ring>(
      'area',
      (map, signal) => map.drawArea(signal),
      box => ringsOf(box)[0]
    );
    if (ring !== undefined) {
      await this.readArea(ring);
    }
  }

  readArea(ring: Ring): Promise<void> {
    return this.reading.readArea(ring, this.layers.find(this.layers.stack.get().chosen));
  }

  /** The map's tab is closed: nobody draws or plays any more. */
  rest(): void {
    this.player.pause();
    this.drawing.get()?.giveUp();
  }

  private async draw<Found>(
    kind: Drawing['kind'],
    ask: (map: OpenMap, signal: AbortSignal) => Promise<Found | undefined>,
    fromBox: (box: Box) => Found
  ): Promise<Found | undefined> {
    this.drawing.get()?.giveUp();
    const stop = new AbortController();
    const found = new Promise<Found | undefined>((resolve, reject) => {
      this.drawing.set({ kind, take: box => resolve(fromBox(box)), giveUp: () => resolve(undefined) });
      this.whenOpen(stop.signal)
        .then(map => map && ask(map, stop.signal))
        .then(resolve, reject);
    });
    const mine = this.drawing.get();
    try {
      return await found;
    } finally {
      stop.abort();
      if (this.drawing.get() === mine) {
        this.drawing.set(undefined);
      }
    }
  }

  /** The canvas, when it has loaded; undefined where nobody waits for it any more. */
  private whenOpen(signal: AbortSignal): Promise<OpenMap | undefined> {
    return new Promise(resolve => {
      const look = () => {
        const map = this.canvas.get();
        if (map !== undefined || signal.aborted) {
          forget();
          resolve(map);
        }
      };
      const unwatch = this.canvas.watch(look);
      const forget = () => {
        unwatch();
        signal.removeEventListener('abort', look);
      };
      signal.addEventListener('abort', look);
      look();
    });
  }

  private stepChosen(): boolean {
    const layer = this.layers.find(this.layers.stack.get().chosen);
    if (layer === undefined || layer.offer.times.length < 2) {
      return false;
    }
    this.layers.step(layer.key);
    return true;
  }
}

/** What tells the values of a layer from those of another. */
function nameValues(layer: Layer | undefined): string {
  return layer === undefined
    ? ''
    : [layer.offer.key, layer.offer.version, layer.again, layer.band, layer.gone].join('/');
}

/** Whether this person asks for less motion. */
export function isCalm(): boolean {
  return window.matchMedia('(prefers-reduced-motion: reduce)').matches;
}
