import { useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { periodOf, type Histogram } from '../core/facets';
import type { IEarthlab } from '../tokens';

const WIDE = 300;
const HIGH = 60;

/** How the items lie in time; a stretch that is brushed, or chosen by the arrow keys, becomes the period. */
export function HistogramBrush(props: {
  histogram: Histogram;
  shared: IEarthlab;
  onPeriod: (period: string) => void;
}): JSX.Element | null {
  const { histogram, shared, onPeriod } = props;
  const { say } = shared;
  const { bins } = histogram;
  const [stretch, setStretch] = useState<readonly [number, number]>();
  const drawing = useRef<SVGSVGElement>(null);
  const brushing = useRef<number>();
  if (bins.length < 2) {
    return null;
  }
  const most = Math.max(...bins.map(([, count]) => count));
  const step = WIDE / bins.length;
  const binAt = (event: PointerEvent): number => {
    const box = drawing.current?.getBoundingClientRect();
    const share = box ? (event.clientX - box.left) / box.width : 0;
    return Math.max(0, Math.min(bins.length - 1, Math.floor(share * bins.length)));
  };
  const end = () => {
    brushing.current = undefined;
    if (stretch) {
      onPeriod(periodOf(bins, ...stretch));
      setStretch(undefined);
    }
  };
  const move = (event: KeyboardEvent) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (way !== undefined) {
      const [from, to] = stretch ?? [0, way > 0 ? -1 : 0];
      const next = Math.max(0, Math.min(bins.length - 1, to + way));
      setStretch(event.shiftKey ? [from, next] : [next, next]);
      event.preventDefault();
    } else if (event.key === 'Enter') {
      end();
    } else if (event.key === 'Escape') {
      setStretch(undefined);
    }
  };
  const told = stretch
    ? periodOf(bins, ...stretch)
    : say('histogram', { first: bins[0][0], last: bins[bins.length - 1][0], most });
  const [low, high] = stretch ? [Math.min(...stretch), Math.max(...stretch)] : [0, -1];
  return (
    <figure className="el-Histogram">
      <svg
        ref={drawing}
        role="slider"
        tabIndex={0}
        aria-label={say('period')}
        aria-valuetext={told}
        aria-valuemin={0}
        aria-valuemax={bins.length - 1}
        aria-valuenow={stretch ? stretch[1] : 0}
        viewBox={`0 0 ${WIDE} ${HIGH}`}
        preserveAspectRatio="none"
        onKeyDown={move}
        onPointerDown={event => {
          event.currentTarget.setPointerCapture(event.pointerId);
          brushing.current = binAt(event);
          setStretch([brushing.current, brushing.current]);
        }}
        onPointerMove={event => brushing.current !== undefined && setStretch([brushing.current, binAt(event)])}
        onPointerUp={end}
        onPointerCancel={() => {
          brushing.current = undefined;
          setStretch(undefined);
        }}
      >
        {bins.map(([key, count], at) => (
          <rect
            key={key}
            className={at >= low && at <= high ? 'el-mod-chosen' : undefined}
            x={at * step}
            width={Math.max(step * 0.9, 0.5)}
            y={HIGH - (HIGH * count) / most}
            height={(HIGH * count) / most}
          />
        ))}
      </svg>
      <figcaption>{told}</figcaption>
    </figure>
  );
}
