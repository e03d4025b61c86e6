import { bandOf, timeOf, type Layer } from '../core/layers';
import type { Series } from '../core/mapping';
import { whyUnread } from '../core/reading';
import { sayAmount, sayMoment, sayPlace } from '../core/saying';
import { sayDay } from '../core/words';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import { CurveFigure } from './curveFigure';
import type { MapParts } from './widget';

const MOST = 8;

/** What there is at the place that was pressed: the chosen layer's values in time, and the items over it. */
export function PlacePanel(parts: MapParts): JSX.Element | null {
  const { shared, model } = parts;
  const { say, api } = shared;
  const place = useChanging(model.reading.place);
  useChanging(model.layers.stack);
  if (place === undefined) {
    return null;
  }
  const { series } = place;
  const layer = model.layers.find(place.layer?.key) ?? place.layer;
  const band = layer && bandOf(layer);
  const unread = whyUnread(layer);
  return (
    <section className="el-Place" aria-label={say('here', { place: sayPlace(place.at, api.language) })}>
      <div className="el-Line el-Head">
        <h2>{say('here', { place: sayPlace(place.at, api.language) })}</h2>
        <button
          className="el-Icon"
          aria-label={say('close')}
          title={say('close')}
          onClick={() => model.reading.leavePlace()}
        >
          ×
        </button>
      </div>
      <p role="status" className="el-Small">
        {place.state === 'asking' ? say('readingValues') : ''}
        {place.state === 'read' && series && sayShown(parts, series, layer)}
      </p>
      {place.refusal && <Refused refusal={place.refusal} say={say} />}
      {unread && (unread !== 'noReading' || place.rows.length === 0) && <p className="el-Hint">{say(unread)}</p>}
      {series && layer && band && (
        <CurveFigure
          series={series}
          name={say(band.name === '' ? 'curveOfOne' : 'curveOf', { band: band.name, name: layer.offer.title })}
          at={layer.at}
          shared={shared}
          choose={time => {
            const at = layer.offer.times.indexOf(time);
            if (at >= 0) {
              model.layers.change(layer.key, { at });
            }
          }}
        />
      )}
      {place.rows.length > 0 && (
        <>
          <h3>{place.rows.length < MOST ? say('itemsHere') : say('itemsHereMost', { count: MOST })}</h3>
          <ul>
            {place.rows.map(row => (
              <li
                key={`${row.endpoint}/${row.collection}/${row.id}`}
                onMouseEnter={() => model.marked.set(row)}
                onMouseLeave={() => model.marked.set(undefined)}
              >
                <strong>{sayDay(row.start, api.language)}</strong> {row.title || row.id}{' '}
                <span className="el-Small">{row.collection}</span>
                {row.simulated && <b className="el-Simulated el-Small"> {say('simulated')}</b>}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** The value of the moment that is shown, in words; of what has no dates, its one value. */
function sayShown({ shared }: MapParts, series: Series, layer: Layer | undefined): string {
  const { say, api } = shared;
  const { times, values, unit } = series;
  if (values.every(each => each === null)) {
    return say('nothingObserved');
  }
  const shown = layer === undefined ? -1 : times.indexOf(timeOf(layer) ?? '');
  const at = shown >= 0 ? shown : values.length - 1;
  const value = values[at];
  const said = value === null ? say('notObserved') : sayAmount(value, unit, api.language);
  return times[at] ? say('valueAt', { value: said, date: sayMoment(times[at], api.language) }) : said;
}
