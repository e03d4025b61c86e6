import { useState } from 'react';
import { renderGradient } from '../core/colormaps';
import { bandOf, isNatural, timeOf, type Layer } from '../core/layers';
import { sayAmount, sayMoment } from '../core/saying';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import { LayerSettings } from './layerSettings';
import type { MapParts } from './widget';

/** The layers from the top to the bottom; the one that is chosen is read and stepped through. */
export function LayerList(parts: MapParts): JSX.Element {
  const { shared, model } = parts;
  const { say } = shared;
  const { layers, chosen, swipe } = useChanging(model.layers.stack);
  return (
    <section className="el-Layers" aria-label={say('layers')}>
      <h2>{say('layers')}</h2>
      {layers.length === 0 && <p className="el-Hint">{say('noLayers')}</p>}
      {swipe && (
        <button className="jp-Button jp-mod-styled" onClick={() => model.layers.endSwipe()}>
          {say('endCompare')}
        </button>
      )}
      <ul>
        {layers.map((layer, at) => (
          <li key={layer.key} className={layer.key === chosen ? 'el-Layer el-mod-chosen' : 'el-Layer'}>
            <LayerItem
              parts={parts}
              layer={layer}
              chosen={layer.key === chosen}
              first={at === 0}
              last={at === layers.length - 1}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

function LayerItem(props: {
  parts: MapParts;
  layer: Layer;
  chosen: boolean;
  first: boolean;
  last: boolean;
}): JSX.Element {
  const { parts, layer, chosen, first, last } = props;
  const { shared, model } = parts;
  const { say, api } = shared;
  const { layers } = model;
  const { title, box } = layer.offer;
  const time = timeOf(layer);
  const told = [layer.band === title ? '' : layer.band, time ? sayMoment(time, api.language) : '']
    .filter(Boolean)
    .join(' · ');
  const [open, setOpen] = useState(false);
  return (
    <>
      <div className="el-LayerHead">
        <input
          type="checkbox"
          aria-label={say('showLayer', { name: title })}
          title={say('showLayer', { name: title })}
          checked={layer.visible}
          onChange={event => layers.change(layer.key, { visible: event.target.checked })}
        />
        <label className="el-Name" title={say('chooseLayer', { name: title })}>
          <input
            type="radio"
            className="el-Hidden"
            name="earthlab-map-chosen"
            aria-label={say('chooseLayer', { name: title })}
            checked={chosen}
            onChange={() => layers.choose(layer.key)}
          />
          {title}
          <span className="el-Small"> {told}</span>
        </label>
        <button
          className="el-Icon"
          disabled={first}
          aria-label={say('raise', { name: title })}
          title={say('raise', { name: title })}
          onClick={() => layers.move(layer.key, -1)}
        >
          ↑
        </button>
        <button
          className="el-Icon"
          disabled={last}
          aria-label={say('lower', { name: title })}
          title={say('lower', { name: title })}
          onClick={() => layers.move(layer.key, 1)}
        >
          ↓
        </button>
        <button
          className="el-Icon"
          aria-label={say('remove', { name: title })}
          title={say('remove', { name: title })}
          onClick={() => layers.remove(layer.key)}
        >
          ×
        </button>
      </div>
      {layer.offer.simulated && <p className="el-Simulated el-Small">{say('simulated')}</p>}
      {layer.gone && (
        <p className="el-Warning" role="status">
          {say('layerGone')}
        </p>
      )}
      {layer.refusal && <Refused refusal={layer.refusal} say={say} />}
      <Legend parts={parts} layer={layer} />
      <div className="el-Line">
        <button className="jp-Button jp-mod-styled jp-mod-minimal" aria-expanded={open} onClick={() => setOpen(!open)}>
          {say('settingsOf')} <span aria-hidden="true">{open ? '▾' : '▸'}</span>
        </button>
        {box && (
          <button
            className="jp-Button jp-mod-styled jp-mod-minimal"
            aria-label={say('zoomTo', { name: title })}
            onClick={() => model.canvas.get()?.fit(box)}
          >
            {say('zoomToShort')}
          </button>
        )}
      </div>
      {open && <LayerSettings parts={parts} layer={layer} />}
    </>
  );
}

/** Which colour stands for which value. */
function Legend({ parts, layer }: { parts: MapParts; layer: Layer }): JSX.Element | null {
  const { say, api } = parts.shared;
  const band = bandOf(layer);
  const gradient = renderGradient(layer.look.colormap);
  if (band === undefined || isNatural(band)) {
    return null;
  }
  const { low, high } = layer.look;
  const end = (value: number | null, otherwise: string) =>
    value === null ? otherwise : sayAmount(value, band.unit, api.language);
  const [from, to] = [end(low, say('lowest')), end(high, say('highest'))];
  return (
    <div className="el-Legend" role="img" aria-label={say('legend', { low: from, high: to })}>
      <span aria-hidden="true">{from}</span>
      <span className="el-Gradient" style={{ background: gradient }} aria-hidden="true">
        {gradient === undefined ? layer.look.colormap : ''}
      </span>
      <span aria-hidden="true">{to}</span>
    </div>
  );
}
