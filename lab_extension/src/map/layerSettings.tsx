import { useEffect, useId, useState } from 'react';
import { COLORMAPS } from '../core/colormaps';
import { bandOf, parseEnds, type Layer } from '../core/layers';
import { useChanging } from '../shell/useChanging';
import { openLinkDialog } from './linkDialog';
import type { MapParts } from './widget';

/** How one layer is drawn, and what else can be done with it. */
export function LayerSettings({ parts, layer }: { parts: MapParts; layer: Layer }): JSX.Element {
  const { shared, model } = parts;
  const { say } = shared;
  const { layers } = model;
  const id = useId();
  const { offer } = layer;
  return (
    <div className="el-Form el-LayerSettings">
      {offer.bands.length > 1 && (
        <>
          <label htmlFor={`${id}-band`}>{say('band')}</label>
          <select
            id={`${id}-band`}
            className="jp-mod-styled"
            value={layer.band}
            onChange={event => layers.change(layer.key, { band: event.target.value })}
          >
            {offer.bands.map(({ name, unit }) => (
              <option key={name} value={name}>
                {unit === '' || unit === '1' ? name : `${name} (${unit})`}
              </option>
            ))}
          </select>
        </>
      )}
      <label htmlFor={`${id}-opacity`}>{say('opacity')}</label>
      <input
        id={`${id}-opacity`}
        type="range"
        min={0}
        max={100}
        step={5}
        value={Math.round(layer.opacity * 100)}
        aria-valuetext={`${Math.round(layer.opacity * 100)} %`}
        onChange={event => layers.change(layer.key, { opacity: event.target.valueAsNumber / 100 })}
      />
      {bandOf(layer) !== undefined && <ScaleEditor parts={parts} layer={layer} />}
      <Comparing parts={parts} layer={layer} />
      {offer.source.kind === 'published' && (
        <button className="jp-Button jp-mod-styled el-Whole" onClick={() => void openLinkDialog(parts, layer)}>
          {say('qgis')}
        </button>
      )}
      {offer.source.kind === 'live' && <p className="el-Hint">{say('qgisLive')}</p>}
    </div>
  );
}

/** The colour map, and the values at its two ends. */
function ScaleEditor({ parts, layer }: { parts: MapParts; layer: Layer }): JSX.Element {
  const { shared, model } = parts;
  const { say } = shared;
  const { layers } = model;
  const { look } = layer;
  const id = useId();
  const [typed, setTyped] = useState<readonly [string, string]>(['', '']);
  const [wrong, setWrong] = useState(false);
  useEffect(() => {
    setTyped([String(look.low ?? ''), String(look.high ?? '')]);
    setWrong(false);
  }, [look.low, look.high]);
  const natural = layer.band.includes(',');
  const names = Object.hasOwn(COLORMAPS, look.colormap)
    ? Object.keys(COLORMAPS)
    : [look.colormap, ...Object.keys(COLORMAPS)];
  const apply = () => {
    const ends = parseEnds(...typed);
    setWrong(ends === undefined);
    if (ends !== undefined) {
      layers.change(layer.key, { look: { ...look, ...ends } });
    }
  };
  return (
    <>
      {!natural && (
        <>
          <label htmlFor={`${id}-map`}>{say('colormap')}</label>
          <select
            id={`${id}-map`}
            className="jp-mod-styled"
            value={look.colormap}
            onChange={event => layers.change(layer.key, { look: { ...look, colormap: event.target.value } })}
          >
            {names.map(name => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </>
      )}
      <form
        className="el-Line"
        onSubmit={event => {
          event.preventDefault();
          apply();
        }}
      >
        {(['low', 'high'] as const).map((end, at) => (
          <label key={end}>
            {say(end === 'low' ? 'lowEnd' : 'highEnd')}{' '}
            <input
              className="jp-mod-styled el-End"
              inputMode="decimal"
              value={typed[at]}
              placeholder={say(end === 'low' ? 'lowest' : 'highest')}
              aria-invalid={wrong}
              onChange={event => setTyped(at === 0 ? [event.target.value, typed[1]] : [typed[0], event.target.value])}
            />
          </label>
        ))}
        <button className="jp-Button jp-mod-styled">{say('apply')}</button>
        <button
          type="button"
          className="jp-Button jp-mod-styled"
          title={say('stretchTitle')}
          onClick={() => layers.change(layer.key, { look: { ...look, low: null, high: null } })}
        >
          {say('stretch')}
        </button>
        {wrong && (
          <p role="alert" className="el-Fault">
            {say('badEnds')}
          </p>
        )}
      </form>
    </>
  );
}

/** The other layers, and the other dates, that this one can be compared with. */
function Comparing({ parts, layer }: { parts: MapParts; layer: Layer }): JSX.Element | null {
  const { shared, model } = parts;
  const { say } = shared;
  const others = useChanging(model.layers.stack).layers.filter(each => each.key !== layer.key);
  const id = useId();
  return (
    <>
      {layer.offer.times.length > 1 && (
        <button className="jp-Button jp-mod-styled el-Whole" onClick={() => model.layers.compareTimes(layer.key)}>
          {say('compareTimes')}
        </button>
      )}
      {others.length > 0 && (
        <>
          <label htmlFor={`${id}-with`}>{say('compareWith')}</label>
          <select
            id={`${id}-with`}
            className="jp-mod-styled"
            value=""
            onChange={event => event.target.value !== '' && model.layers.compare(layer.key, event.target.value)}
          >
            <option value="">…</option>
            {others.map(each => (
              <option key={each.key} value={each.key}>
                {[each.offer.title, each.band].filter(Boolean).join(' · ')}
              </option>
            ))}
          </select>
        </>
      )}
    </>
  );
}
