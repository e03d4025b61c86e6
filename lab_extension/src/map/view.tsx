import { useEffect, useId, useState } from 'react';
import { PROJECTIONS } from '../core/projections';
import { boxAround } from '../core/footprints';
import { pick, sayNumber } from '../core/words';
import { useChanging } from '../shell/useChanging';
import { AreaPanel } from './areaPanel';
import { Canvas } from './canvas';
import { LayerList } from './layerList';
import { LinksPanel } from './linksPanel';
import { OffersPanel } from './offersPanel';
import { PlacePanel } from './placePanel';
import { TimeBar } from './timeBar';
import type { MapParts } from './widget';

/** Tools above, the map, its layers and readings beside it, the dates below. */
export function MapView(parts: MapParts): JSX.Element {
  const { shared, model, keeper } = parts;
  const { say } = shared;
  const [open, setOpen] = useState(true);
  const side = useId();
  useEffect(() => void model.offering.refresh().then(() => keeper?.resume()), [model]);
  return (
    <div className="el-MapFrame">
      <Tools {...parts} open={open} setOpen={setOpen} side={side} />
      <div className="el-MapBody">
        <div className="el-MapMiddle">
          <Canvas {...parts} />
          <TimeBar {...parts} />
        </div>
        <aside id={side} className="el-MapSide" aria-label={say('mapSide')} hidden={!open}>
          <PlacePanel {...parts} />
          <AreaPanel {...parts} />
          <LayerList {...parts} />
          <OffersPanel {...parts} />
          <LinksPanel {...parts} />
        </aside>
      </div>
    </div>
  );
}

function Tools(props: MapParts & { open: boolean; setOpen: (open: boolean) => void; side: string }): JSX.Element {
  const { shared, model, open, setOpen, side } = props;
  const { say, api } = shared;
  const projection = useChanging(model.projection);
  const { rows, outlines } = useChanging(model.footprints);
  const id = useId();
  const around = boxAround(outlines);
  return (
    <div className="el-MapTools" role="group" aria-label={say('mapTools')}>
      <label htmlFor={`${id}-projection`} className="el-Hidden">
        {say('mapProjection')}
      </label>
      <select
        id={`${id}-projection`}
        className="jp-mod-styled"
        title={say('mapProjection')}
        value={projection}
        onChange={event => model.projection.set(event.target.value)}
      >
        {PROJECTIONS.map(each => (
          <option key={each.code} value={each.code}>
            {pick(each.title, api.language)}
          </option>
        ))}
      </select>
      <button className="jp-Button jp-mod-styled" onClick={() => void model.drawArea()}>
        {say('drawArea')}
      </button>
      {around !== undefined && (
        <button className="jp-Button jp-mod-styled" onClick={() => model.canvas.get()?.fit(around)}>
          {say('fitRows', { count: sayNumber(rows.length, api.language) })}
        </button>
      )}
      <button
        className="jp-Button jp-mod-styled el-SideSwitch"
        aria-expanded={open}
        aria-controls={side}
        onClick={() => setOpen(!open)}
      >
        {say('layers')} <span aria-hidden="true">{open ? '▸' : '◂'}</span>
      </button>
    </div>
  );
}
