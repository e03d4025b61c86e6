import { planCurve } from '../core/curve';
import type { Series } from '../core/mapping';
import { sayAmount, sayMoment } from '../core/saying';
import type { IEarthlab } from '../tokens';

const FRAME = { width: 320, height: 170, left: 48, bottom: 26 };

/** A series in time, drawn; and as a table, for who reads rather than looks. */
export function CurveFigure(props: {
  series: Series;
  name: string;
  at: number;
  shared: IEarthlab;
  choose: (time: string) => void;
}): JSX.Element | null {
  const { series, name, shared, choose } = props;
  const { say, api } = shared;
  const { times, values, unit } = series;
  const curve = planCurve(times, values, FRAME, api.language);
  if (curve === undefined) {
    return null;
  }
  const floor = FRAME.height - FRAME.bottom;
  const title = unit === '' || unit === '1' ? name : `${name} (${unit})`;
  return (
    <figure className="el-Curve">
      <figcaption>{title}</figcaption>
      <svg viewBox={`0 0 ${FRAME.width} ${FRAME.height}`} role="img" aria-label={title}>
        {curve.up.map(({ place, text }) => (
          <g key={text}>
            <line className="el-Grid" x1={FRAME.left} x2={FRAME.width} y1={place} y2={place} />
            <text x={FRAME.left - 5} y={place + 4} textAnchor="end">
              {text}
            </text>
          </g>
        ))}
        {curve.across.map(({ place, text }, at) => (
          <g key={text}>
            <line className="el-Axis" x1={place} x2={place} y1={floor} y2={floor + 4} />
            <text
              x={place}
              y={floor + 18}
              textAnchor={at === 0 ? 'start' : at === curve.across.length - 1 ? 'end' : 'middle'}
            >
              {text}
            </text>
          </g>
        ))}
        <line className="el-Axis" x1={FRAME.left} x2={FRAME.width} y1={floor} y2={floor} />
        {curve.parts.map(part => (
          <polyline key={part[0].at} points={part.map(({ x, y }) => `${x},${y}`).join(' ')} />
        ))}
        {curve.parts.flat().map(({ x, y, at }) => (
          <circle key={at} cx={x} cy={y} r={at === props.at ? 4.5 : 2.5} onClick={() => choose(times[at])}>
            <title>{`${sayMoment(times[at], api.language)} : ${sayAmount(values[at] ?? NaN, unit, api.language)}`}</title>
          </circle>
        ))}
      </svg>
      <details>
        <summary>{say('values')}</summary>
        <div className="el-Scroll" tabIndex={0} role="region" aria-label={title}>
          <table className="el-Plan">
            <thead>
              <tr>
                <th scope="col">{say('date')}</th>
                <th scope="col">{unit === '' || unit === '1' ? say('value') : `${say('value')} (${unit})`}</th>
              </tr>
            </thead>
            <tbody>
              {times.map((time, at) => (
                <tr key={time}>
                  <th scope="row">{sayMoment(time, api.language)}</th>
                  <td>{values[at] === null ? say('notObserved') : sayAmount(values[at] ?? NaN, '', api.language)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
