import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { outlineOf, type Corner } from '../core/footprints';
import { timeOf } from '../core/layers';
import { asRefusal, Refusal } from '../core/refusal';
import type { Row } from '../core/rows';
import { planScale, sayMoment, sayPlace } from '../core/saying';
import { sayDay } from '../core/words';
import type { Topology } from '../core/world';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import { DrawingBar } from './drawingBar';
import { isCalm, type MapModel } from './model';
import type { OpenMap } from './openlayers';
import type { MapParts } from './widget';

interface Over {
  readonly place: Corner;
  readonly pixel: readonly [number, number];
  readonly rows: readonly Row[];
}

/** The map with what lies over it: buttons, the scale, what the pointer is over, the line of a comparison. */
export function Canvas(parts: MapParts): JSX.Element {
  const { shared, model } = parts;
  const { say } = shared;
  const target = useRef<HTMLDivElement>(null);
  const [over, setOver] = useState<Over>();
  const [state, setState] = useState<'loading' | 'shown'>('loading');
  const [fault, setFault] = useState<Refusal>();
  const [bare, setBare] = useState(false);
  useEffect(() => {
    const left = new AbortController();
    openMap(parts, target.current as HTMLElement, setOver, left.signal).then(
      map => {
        if (map !== undefined) {
          setState('shown');
          void loadWorld(left.signal).then(
            world => map.showWorld(world),
            () => setBare(!left.signal.aborted) // said in words below the map, which goes on without
          );
        }
      },
      reason => setFault(asRefusal(reason))
    );
    return () => left.abort();
  }, [parts.model]);
  const press = (event: KeyboardEvent) => {
    const middle = model.canvas.get()?.seen().middle;
    if (event.key === 'Enter' && middle !== undefined && model.drawing.get() === undefined) {
      model.read(middle);
    } else if (event.key === 'Escape') {
      model.drawing.get()?.giveUp();
    }
  };
  return (
    <div className="el-MapCanvas" onKeyDown={event => event.key === 'Escape' && model.drawing.get()?.giveUp()}>
      <div
        ref={target}
        className="el-MapTarget"
        role="application"
        tabIndex={0}
        aria-label={say('mapKeys')}
        onKeyDown={press}
      />
      <div className="el-Crosshair" aria-hidden="true" />
      <Swiper {...parts} />
      <div className="el-ZoomButtons">
        <button aria-label={say('zoomIn')} title={say('zoomIn')} onClick={() => model.canvas.get()?.zoom(1)}>
          +
        </button>
        <button aria-label={say('zoomOut')} title={say('zoomOut')} onClick={() => model.canvas.get()?.zoom(-1)}>
          −
        </button>
      </div>
      <DrawingBar {...parts} />
      {over && over.rows.length > 0 && <Tip over={over} parts={parts} />}
      {state === 'loading' && fault === undefined && (
        <p className="el-MapSays" role="status">
          {say('mapLoading')}
        </p>
      )}
      {fault && <Refused refusal={fault} say={say} />}
      <Foot parts={parts} over={over} bare={bare} />
    </div>
  );
}

/** The names of the items that the pointer is over. */
function Tip({ over, parts }: { over: Over; parts: MapParts }): JSX.Element {
  const { language } = parts.shared.api;
  const [left, top] = over.pixel;
  return (
    <ul className="el-MapTip" style={{ left: left + 12, top: top + 12 }} aria-hidden="true">
      {over.rows.slice(0, 3).map(row => (
        <li key={`${row.endpoint}/${row.collection}/${row.id}`}>
          <strong>{sayDay(row.start, language)}</strong> {row.title || row.id}
        </li>
      ))}
      {over.rows.length > 3 && <li>…</li>}
    </ul>
  );
}

function Foot({ parts, over, bare }: { parts: MapParts; over: Over | undefined; bare: boolean }): JSX.Element {
  const { shared, model } = parts;
  const { say, api } = shared;
  const seen = useChanging(model.seen);
  const { layers } = useChanging(model.layers.stack);
  const scale = seen && planScale(seen.metres, 140, api.language);
  const credits = layers.flatMap(({ offer, visible }) =>
    visible && offer.source.kind === 'outside' && offer.source.attribution !== '' ? [offer.source.attribution] : []
  );
  return (
    <div className="el-MapFoot">
      {scale && (
        <span
          className="el-Scale"
          role="img"
          aria-label={say('scale', { length: scale.text })}
          style={{ width: scale.pixels }}
        >
          {scale.text}
        </span>
      )}
      <span className="el-MapAt">{over && sayPlace(over.place, api.language)}</span>
      <span className="el-Credits">{[bare ? say('noBase') : say('credit'), ...new Set(credits)].join(' · ')}</span>
    </div>
  );
}

/** The line between two layers that are compared, moved by the pointer or the arrow keys. */
function Swiper({ shared, model }: MapParts): JSX.Element | null {
  const { say, api } = shared;
  const { swipe } = useChanging(model.layers.stack);
  const [left, right] = [model.layers.find(swipe?.left), model.layers.find(swipe?.right)];
  const line = useRef<HTMLDivElement>(null);
  if (swipe === undefined || left === undefined || right === undefined) {
    return null;
  }
  const name = (layer: typeof left) => {
    const time = timeOf(layer);
    return time === undefined ? layer.offer.title : `${layer.offer.title}, ${sayMoment(time, api.language)}`;
  };
  const move = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageUp: 0.1, PageDown: -0.1 }[
      event.key
    ];
    const to = { Home: 0, End: 1 }[event.key];
    if (by !== undefined || to !== undefined) {
      model.layers.slide(to ?? swipe.share + (by ?? 0));
      event.preventDefault();
    }
  };
  const drag = (event: PointerEvent) => {
    const box = line.current?.parentElement?.getBoundingClientRect();
    if (box && event.currentTarget.hasPointerCapture(event.pointerId)) {
      model.layers.slide((event.clientX - box.left) / box.width);
    }
  };
  const percent = Math.round(swipe.share * 100);
  return (
    <>
      <div
        ref={line}
        className="el-Swipe"
        style={{ left: `${swipe.share * 100}%` }}
        role="slider"
        tabIndex={0}
        aria-label={say('swipe', { left: name(left), right: name(right) })}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={`${percent} %`}
        onKeyDown={move}
        onPointerDown={event => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
      >
        <span aria-hidden="true">◂▸</span>
      </div>
      <div className="el-SwipeNames" aria-hidden="true">
        <span>{name(left)}</span>
        <span>{name(right)}</span>
      </div>
    </>
  );
}

/** Load OpenLayers, and keep it at what the model says until the signal. */
async function openMap(
  { shared, model }: MapParts,
  target: HTMLElement,
  setOver: (over: Over | undefined) => void,
  left: AbortSignal
): Promise<OpenMap | undefined> {
  const { OpenMap } = await import('./openlayers');
  if (left.aborted) {
    return undefined;
  }
  const { layers, routes } = model;
  const map = new OpenMap(
    target,
    {
      load: (path, signal) => routes.tile(path, signal),
      refused: (key, refusal) => layers.refuse(key, refusal),
      seenAgain: key => layers.change(key, { refusal: undefined }),
      silent: title =>
        new Refusal('CatalogueUnavailable', shared.say('outsideSilent', { title }), shared.say('outsideRemedy')),
      over: (place, pixel) => setOver(place && { place, pixel, rows: model.rowsAt(place) }),
      pressed: place => model.drawing.get() === undefined && model.read(place),
      moved: seen => model.seen.set(seen)
    },
    isCalm
  );
  const before = model.seen.get();
  const ends = follow(model, map);
  if (before !== undefined) {
    map.look(before);
  }
  model.canvas.set(map);
  left.addEventListener('abort', () => {
    ends.forEach(end => end());
    model.canvas.set(undefined);
    map.leave();
  });
  return map;
}

/** Have the map show what the model says, now and at each change. */
function follow(model: MapModel, map: OpenMap): readonly (() => void)[] {
  const show = () => map.show(model.layers.stack.get());
  const project = () => map.project(model.projection.get());
  const rows = () => map.showFootprints(model.footprints.get().outlines);
  const marks = () => {
    const row = model.marked.get();
    map.mark({
      outline: row && outlineOf(row),
      place: model.reading.place.get()?.at,
      area: model.reading.area.get()?.ring
    });
  };
  [project, show, rows, marks].forEach(step => step());
  return [
    model.layers.stack.watch(show),
    model.projection.watch(project),
    model.footprints.watch(rows),
    model.marked.watch(marks),
    model.reading.place.watch(marks),
    model.reading.area.watch(marks)
  ];
}

/** The countries, from beside the extension's own files. */
async function loadWorld(signal: AbortSignal): Promise<Topology> {
  const answer = await fetch(new URL('../../style/world.json', import.meta.url), { signal });
  if (!answer.ok) {
    throw new Refusal(`HTTP${answer.status}`, answer.statusText, '');
  }
  return answer.json();
}
