import { useState } from 'react';
import { Notification } from '@jupyterlab/apputils';
import { ringsOf } from '../core/footprints';
import type { Statistics } from '../core/mapping';
import { asRefusal, type Refusal } from '../core/refusal';
import { whyUnread, type Area } from '../core/reading';
import { sayMoment, sayValue } from '../core/saying';
import { sayNumber } from '../core/words';
import { BoxForm } from '../shell/boxForm';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import type { MapParts } from './widget';

/** The area that was drawn: its statistics time by time, and the cell that computes them again. */
export function AreaPanel(parts: MapParts): JSX.Element | null {
  const { shared, model } = parts;
  const { say } = shared;
  const area = useChanging(model.reading.area);
  const drawing = useChanging(model.drawing);
  if (area === undefined && drawing?.kind !== 'area') {
    return null;
  }
  return (
    <section className="el-Area" aria-label={say('area')}>
      <div className="el-Line el-Head">
        <h2>{say('area')}</h2>
        {area && (
          <button
            className="el-Icon"
            aria-label={say('close')}
            title={say('close')}
            onClick={() => model.reading.leaveArea()}
          >
            ×
          </button>
        )}
      </div>
      {drawing?.kind === 'area' && (
        <BoxForm
          legend={say('areaByNumbers')}
          say={say}
          take={box => {
            const whole = ringsOf(box).length === 1;
            return whole ? void drawing.take(box) : 'areaDateLine';
          }}
        />
      )}
      {area && <Told parts={parts} area={area} />}
    </section>
  );
}

function Told({ parts, area }: { parts: MapParts; area: Area }): JSX.Element {
  const { say } = parts.shared;
  const { layer } = area;
  const unread = whyUnread(layer);
  return (
    <>
      <p role="status" className="el-Small">
        {area.state === 'asking' ? say('readingValues') : ''}
      </p>
      {area.refusal && (
        <Refused
          refusal={area.refusal}
          say={say}
          again={() => void parts.model.reading.readArea(area.ring, area.layer)}
        />
      )}
      {unread && <p className="el-Hint">{say(unread)}</p>}
      {area.statistics && layer && (
        <>
          <StatisticsTable statistics={area.statistics} band={layer.band || layer.offer.title} parts={parts} />
          <InsertCell parts={parts} area={area} />
        </>
      )}
    </>
  );
}

function StatisticsTable(props: { statistics: Statistics; band: string; parts: MapParts }): JSX.Element {
  const { statistics, band, parts } = props;
  const { say, api } = parts.shared;
  const { rows, unit } = statistics;
  const number = (value: number | null) => (value === null ? '–' : sayValue(value, api.language));
  const name = say('statistics', { band: unit === '' || unit === '1' ? band : `${band} (${unit})` });
  return (
    <>
      <p className="el-Small">{say('areaSize', { area: sayValue(statistics.area, api.language) })}</p>
      <div className="el-Scroll" tabIndex={0} role="region" aria-label={name}>
        <table className="el-Plan el-Statistics">
          <caption>{name}</caption>
          <thead>
            <tr>
              {(['date', 'mean', 'median', 'std', 'min', 'max', 'pixels', 'valid'] as const).map(word => (
                <th key={word} scope="col">
                  {say(word)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, at) => (
              <tr key={row.time ?? at}>
                <th scope="row">{row.time === null ? '–' : sayMoment(row.time, api.language)}</th>
                {[row.mean, row.median, row.std, row.min, row.max].map((value, column) => (
                  <td key={column}>{number(value)}</td>
                ))}
                <td>{sayNumber(row.count, api.language)}</td>
                <td>{`${sayNumber(Math.round(row.valid * 100), api.language)} %`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Writes the cell that computes the same again. */
function InsertCell({ parts, area }: { parts: MapParts; area: Area }): JSX.Element {
  const { shared, model, inserter } = parts;
  const { say } = shared;
  const [fault, setFault] = useState<Refusal>();
  const insert = async () => {
    const { layer, ring } = area;
    if (layer === undefined) {
      return;
    }
    try {
      const { source } = layer.offer;
      const cell = await model.routes.statisticsCell(layer, ring);
      const name = inserter.insert(cell, source.kind === 'live' ? source.kernel : undefined);
      setFault(undefined);
      Notification.success(say('inserted', { name }), { autoClose: 4000 });
    } catch (reason) {
      setFault(asRefusal(reason));
    }
  };
  return (
    <>
      <button className="jp-Button jp-mod-styled jp-mod-accept" onClick={() => void insert()}>
        {say('insertCell')}
      </button>
      {fault && <Refused refusal={fault} say={say} />}
    </>
  );
}
