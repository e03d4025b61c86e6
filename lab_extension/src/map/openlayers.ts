import { getCenter, type Extent } from 'ol/extent';
import Feature from 'ol/Feature';
import LineString from 'ol/geom/LineString';
import MultiPolygon from 'ol/geom/MultiPolygon';
import Point from 'ol/geom/Point';
import Polygon from 'ol/geom/Polygon';
import { always } from 'ol/events/condition';
import { defaults } from 'ol/interaction/defaults';
import DoubleClickZoom from 'ol/interaction/DoubleClickZoom';
import DragBox from 'ol/interaction/DragBox';
import Draw from 'ol/interaction/Draw';
import VectorLayer from 'ol/layer/Vector';
import VectorImageLayer from 'ol/layer/VectorImage';
import OlMap from 'ol/Map';
import { get, getPointResolution, transform, transformExtent } from 'ol/proj';
import { getRenderPixel } from 'ol/render';
import type RenderEvent from 'ol/render/Event';
import VectorSource from 'ol/source/Vector';
import Fill from 'ol/style/Fill';
import RegularShape from 'ol/style/RegularShape';
import Stroke from 'ol/style/Stroke';
import Style from 'ol/style/Style';
import View from 'ol/View';
import { normBox, ringsOf, wrap, type Corner, type Ring } from '../core/footprints';
import { tileKey, type Layer, type Stack } from '../core/layers';
import { findProjection, isGlobal, PROJECTIONS, type Projection } from '../core/projections';
import type { Box } from '../core/question';
import { clipPolygons, decodeWorld, type Topology } from '../core/world';
import { registerProjections } from './registering';
import { Drawn, type Loading } from './tileLayers';

const DEGREES = 'EPSG:4326';

/** What the canvas tells, and whom it asks. */
export interface Hears extends Loading {
  /** The pointer is over a place, at so many pixels from the upper left; undefined where it left the map. */
  over(place: Corner | undefined, pixel: readonly [number, number]): void;
  /** A place was asked for. */
  pressed(place: Corner): void;
  /** Another part of the world is seen. */
  moved(seen: Seen): void;
}

/** What is seen: its middle, how many metres a pixel has there, and the box around it. */
export interface Seen {
  readonly middle: Corner;
  readonly metres: number;
  readonly box: Box;
}

/** The map itself, by OpenLayers. All that it is given and gives is in degrees. */
export class OpenMap {
  private readonly map: OlMap;
  private readonly land = new VectorImageLayer({ source: new VectorSource(), imageRatio: 1.5, zIndex: 0 });
  private readonly footprints = new VectorImageLayer({
    source: new VectorSource({ overlaps: false }),
    imageRatio: 1.5,
    zIndex: 1000
  });
  private readonly marks = new VectorLayer({ source: new VectorSource(), zIndex: 1001 });
  private readonly drawn = new Map<string, Drawn>();
  private readonly doubleClick: DoubleClickZoom;
  private projection = PROJECTIONS[0];
  private world?: readonly (readonly Ring[])[];
  private outlines: readonly (readonly Ring[])[] = [];
  private marked: { readonly outline?: readonly Ring[]; readonly place?: Corner; readonly area?: Ring } = {};
  private stack: Stack = { layers: [] };

  constructor(
    private readonly target: HTMLElement,
    private readonly hears: Hears,
    private readonly calm: () => boolean
  ) {
    defineProjections();
    const zoomDuration = calm() ? 0 : 200;
    this.doubleClick = new DoubleClickZoom({ duration: zoomDuration });
    this.map = new OlMap({
      target,
      controls: [],
      interactions: defaults({
        altShiftDragRotate: false,
        doubleClickZoom: false,
        pinchRotate: false,
        zoomDuration
      }).extend([this.doubleClick]),
      layers: [this.land, this.footprints, this.marks],
      view: makeView(this.projection, [-180, -60, 180, 75])
    });
    this.paint();
    this.map.on('singleclick', event => hears.pressed(this.toDegrees(event.coordinate)));
    this.map.on('pointermove', event => {
      if (!event.dragging) {
        hears.over(this.toDegrees(event.coordinate), [event.pixel[0], event.pixel[1]]);
      }
    });
    target.addEventListener('pointerleave', this.left);
    this.map.on('moveend', () => hears.moved(this.seen()));
  }

  /** The countries, when they have come. */
  showWorld(world: Topology): void {
    this.world = decodeWorld(world);
    this.drawLand();
  }

  /** Take the colours of the theme. */
  paint(): void {
    const said = getComputedStyle(this.target);
    const colour = (name: string) => said.getPropertyValue(`--el-${name}`).trim();
    const line = (name: string, width: number) => new Stroke({ color: colour(name), width });
    this.land.setStyle(new Style({ fill: new Fill({ color: colour('land') }), stroke: line('coast', 0.7) }));
    this.footprints.setStyle(new Style({ stroke: line('footprint', 1.2) }));
    this.marks.setStyle([
      new Style({ stroke: line('halo', 5), image: cross(line('halo', 5)) }),
      new Style({ stroke: line('mark', 2.5), image: cross(line('mark', 2)) })
    ]);
  }

  /** Draw these layers, and no others. */
  show(stack: Stack): void {
    this.stack = stack;
    const keys = new Set(stack.layers.map(each => each.key));
    for (const [key, drawn] of this.drawn) {
      if (!keys.has(key)) {
        this.map.removeLayer(drawn.tiles);
        drawn.leave();
        this.drawn.delete(key);
      }
    }
    stack.layers.forEach((layer, at) => this.showLayer(layer, stack.layers.length - at));
    this.map.render();
  }

  project(code: string): void {
    const [before, view] = [this.projection, this.map.getView()];
    const next = findProjection(code);
    if (next === before) {
      return;
    }
    const seen = this.seen();
    this.projection = next;
    const [west, south, east, north] = next.area;
    const [x, y] = seen.middle;
    view.cancelAnimations();
    this.map.setView(makeView(next, next.area));
    if (x > west && x < east && y > south && y < north && seen.metres < 5000) {
      this.look(seen);
    } else {
      this.fit(next.area, 0);
    }
    this.drawLand();
    this.drawFootprints();
    this.drawMarks();
    this.show(this.stack);
  }

  showFootprints(outlines: readonly (readonly Ring[])[]): void {
    this.outlines = outlines;
    this.drawFootprints();
  }

  mark(marked: Partial<typeof this.marked>): void {
    this.marked = { ...this.marked, ...marked };
    this.drawMarks();
  }

  /** Show what was seen before. */
  look({ middle, metres }: Seen): void {
    const centre = transform([...middle], DEGREES, this.code);
    this.map.getView().setCenter(centre);
    this.map.getView().setResolution(metres / metresOf(this.projection, centre));
  }

  /** Show all of a box. */
  fit(box: Box, duration = this.calm() ? 0 : 300): void {
    const rings = ringsOf(box);
    const [west, south, east, north] = [box[0], box[1], rings.length > 1 ? box[2] + 360 : box[2], box[3]];
    const seen: Extent = transformExtent(
      [west, Math.max(-85, south), east, Math.min(85, north)],
      DEGREES,
      this.code,
      8
    );
    if (seen.every(Number.isFinite)) {
      this.map.getView().fit(seen, { padding: [24, 24, 24, 24], duration, maxZoom: 19 });
    }
  }

  zoom(by: number): void {
    const view = this.map.getView();
    view.animate({ zoom: (view.getZoom() ?? 0) + by, duration: this.calm() ? 0 : 150 });
  }

  /** The user drags a box; undefined where it is given up. */
  async drawBox(signal: AbortSignal): Promise<Box | undefined> {
    const drawing = new DragBox({ condition: always });
    const extent = await this.interact(drawing, signal, (done: (extent: Extent) => void) => {
      drawing.on('boxend', () => done(drawing.getGeometry().getExtent()));
    });
    return extent && this.boxOf(extent);
  }

  /** The user presses the corners of an area; undefined where it is given up. */
  async drawArea(signal: AbortSignal): Promise<Ring | undefined> {
    const drawing = new Draw({ type: 'Polygon', style: this.marks.getStyle() as Style[] });
    const shape = await this.interact(drawing, signal, (done: (shape: Polygon) => void) => {
      drawing.on('drawend', event => done(event.feature.getGeometry() as Polygon));
    });
    return shape?.getCoordinates()[0].map(corner => this.toDegrees(corner));
  }

  /** Settled when all that is to be seen has been drawn. */
  drawnAll(): Promise<void> {
    return new Promise(resolve => {
      this.map.once('rendercomplete', () => resolve());
      this.map.render();
    });
  }

  seen(): Seen {
    const view = this.map.getView();
    const centre = view.getCenter() ?? [0, 0];
    return {
      middle: this.toDegrees(centre),
      metres: (view.getResolution() ?? 1) * metresOf(this.projection, centre),
      box: this.boxOf(view.calculateExtent(this.map.getSize()))
    };
  }

  resize(): void {
    this.map.updateSize();
  }

  leave(): void {
    this.target.removeEventListener('pointerleave', this.left);
    this.drawn.forEach(each => each.leave());
    this.map.setTarget(undefined);
    this.map.dispose();
  }

  private readonly left = () => this.hears.over(undefined, [0, 0]);

  private get code(): string {
    return this.projection.code;
  }

  private toDegrees(place: readonly number[]): Corner {
    const [x, y] = transform([...place], this.code, DEGREES);
    return [round(wrap(x)), round(y)];
  }

  private boxOf(extent: Extent): Box {
    const [west, south, east, north] = transformExtent(extent, this.code, DEGREES, 8);
    return normBox([west, south, east, north]);
  }

  private showLayer(layer: Layer, zIndex: number): void {
    const drawn = this.drawn.get(layer.key) ?? this.begin(layer);
    const { tiles } = drawn;
    tiles.setZIndex(zIndex);
    tiles.setOpacity(layer.opacity);
    tiles.setVisible(layer.visible && !layer.gone);
    const { box } = layer.offer;
    tiles.setExtent(box === null || box[0] > box[2] ? undefined : this.extentOf(box));
    if (!layer.waits) {
      drawn.update(layer, tileKey(layer));
    }
  }

  private begin(layer: Layer): Drawn {
    const drawn = new Drawn(layer, this.hears, this.calm());
    this.drawn.set(layer.key, drawn);
    this.clipBySwipe(layer.key, drawn.tiles);
    this.map.addLayer(drawn.tiles);
    return drawn;
  }

  private extentOf([west, south, east, north]: Box): Extent | undefined {
    const extent = transformExtent([west, Math.max(south, -85), east, Math.min(north, 85)], DEGREES, this.code, 8);
    return extent.every(Number.isFinite) ? extent : undefined;
  }

  /** A layer that is compared is drawn at its own side only. */
  private clipBySwipe(key: string, tiles: Drawn['tiles']): void {
    let clipped = false;
    tiles.on('prerender', (event: RenderEvent) => {
      const { swipe } = this.stack;
      clipped = swipe !== undefined && (swipe.left === key || swipe.right === key);
      if (swipe !== undefined && clipped) {
        const [width, height] = this.map.getSize() ?? [0, 0];
        const at = width * swipe.share;
        const [from, to] = swipe.left === key ? [0, at] : [at, width];
        const context = event.context as CanvasRenderingContext2D;
        context.save();
        context.beginPath();
        [
          [from, 0],
          [to, 0],
          [to, height],
          [from, height]
        ].forEach(corner => context.lineTo(...(getRenderPixel(event, corner) as [number, number])));
        context.closePath();
        context.clip();
      }
    });
    tiles.on('postrender', (event: RenderEvent) => {
      if (clipped) {
        (event.context as CanvasRenderingContext2D).restore();
      }
    });
  }

  private drawLand(): void {
    const source = this.land.getSource();
    source?.clear();
    if (this.world !== undefined) {
      const shapes = isGlobal(this.projection) ? this.world : clipPolygons(this.world, around(this.projection.area));
      source?.addFeatures(shapes.map(rings => new Feature(new Polygon(rings.map(ring => this.project2d(ring))))));
    }
  }

  private drawFootprints(): void {
    const source = this.footprints.getSource();
    source?.clear();
    const near = isGlobal(this.projection) ? undefined : around(this.projection.area);
    const rings = this.outlines.flat().filter(ring => near === undefined || liesWithin(ring, near));
    source?.addFeatures(rings.map(ring => new Feature(new LineString(this.project2d(ring)))));
  }

  private drawMarks(): void {
    const { outline, place, area } = this.marked;
    const source = this.marks.getSource();
    source?.clear();
    if (outline !== undefined && outline.length > 0) {
      source?.addFeature(new Feature(new MultiPolygon(outline.map(ring => [this.project2d(ring)]))));
    }
    if (area !== undefined) {
      source?.addFeature(new Feature(new Polygon([this.project2d(area)])));
    }
    if (place !== undefined) {
      source?.addFeature(new Feature(new Point(this.project2d([place])[0])));
    }
  }

  private project2d(ring: Ring): number[][] {
    return ring.map(corner => transform([...corner], DEGREES, this.code));
  }

  private interact<Found>(
    interaction: DragBox | Draw,
    signal: AbortSignal,
    listen: (done: (found: Found) => void) => void
  ): Promise<Found | undefined> {
    return new Promise(resolve => {
      const end = (found?: Found) => {
        signal.removeEventListener('abort', stop);
        this.map.removeInteraction(interaction);
        setTimeout(() => this.doubleClick.setActive(true)); // after the click that ends an area
        this.target.classList.remove('el-mod-drawing');
        resolve(found);
      };
      const stop = () => end();
      signal.addEventListener('abort', stop);
      listen(end);
      this.target.classList.add('el-mod-drawing');
      this.target.focus(); // where Escape is heard
      this.doubleClick.setActive(false);
      this.map.addInteraction(interaction);
    });
  }
}

function defineProjections(): void {
  const missing = PROJECTIONS.filter(each => each.definition !== undefined && get(each.code) === null);
  registerProjections(missing);
  for (const each of missing) {
    const known = get(each.code);
    known?.setWorldExtent([...around(each.area)]);
    known?.setExtent(transformExtent([...around(each.area)], DEGREES, each.code, 8));
  }
}

function makeView(projection: Projection, seen: Box): View {
  const extent = transformExtent([...seen], DEGREES, projection.code, 8);
  return new View({
    projection: projection.code,
    center: getCenter(extent),
    zoom: 2,
    enableRotation: false,
    ...(isGlobal(projection)
      ? { multiWorld: true, minZoom: 1 }
      : { extent: transformExtent([...projection.area], DEGREES, projection.code, 8), constrainOnlyCenter: true }),
    maxZoom: 21
  });
}

/** Metres of one unit of a projection at a place. */
function metresOf(projection: Projection, place: readonly number[]): number {
  return getPointResolution(projection.code, 1, [...place], 'm');
}

/** To a tenth of a metre: so short are coordinates still readable in code. */
function round(degrees: number): number {
  return Math.round(degrees * 1e6) / 1e6;
}

/** A box with as much again at each side, so that what is drawn ends where nobody looks. */
function around([west, south, east, north]: Box): Box {
  const [wide, high] = [(east - west) / 2, (north - south) / 2];
  return [
    Math.max(-180, west - wide),
    Math.max(-80, south - high),
    Math.min(180, east + wide),
    Math.min(84, north + high)
  ];
}

function liesWithin(ring: Ring, [west, south, east, north]: Box): boolean {
  return ring.every(([x, y]) => x >= west && x <= east && y >= south && y <= north);
}

function cross(stroke: Stroke): RegularShape {
  return new RegularShape({ points: 4, radius: 11, radius2: 0, angle: 0, stroke });
}
