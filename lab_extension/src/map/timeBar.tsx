import { timeOf } from '../core/layers';
import { sayMoment } from '../core/saying';
import { useChanging } from '../shell/useChanging';
import type { MapParts } from './widget';

/** The dates of the chosen layer: one after the other, by hand or by themselves. */
export function TimeBar({ shared, model }: MapParts): JSX.Element | null {
  const { say, api } = shared;
  const { chosen } = useChanging(model.layers.stack);
  const playing = useChanging(model.player.playing);
  const layer = model.layers.find(chosen);
  const time = layer && timeOf(layer);
  if (layer === undefined || time === undefined || layer.offer.times.length < 2) {
    return null;
  }
  const { times, title } = layer.offer;
  const said = sayMoment(time, api.language);
  const go = (at: number) => {
    model.player.pause();
    model.layers.change(layer.key, { at });
  };
  return (
    <div className="el-TimeBar" role="group" aria-label={say('timesOf', { name: title })}>
      <button
        className="jp-Button jp-mod-styled"
        aria-label={say('earlier')}
        title={say('earlier')}
        disabled={layer.at === 0}
        onClick={() => go(layer.at - 1)}
      >
        ‹
      </button>
      <button
        className="jp-Button jp-mod-styled"
        aria-label={say(playing ? 'pause' : 'play')}
        title={say(playing ? 'pause' : 'play')}
        onClick={() => model.player.toggle()}
      >
        {playing ? '❚❚' : '▶'}
      </button>
      <button
        className="jp-Button jp-mod-styled"
        aria-label={say('later')}
        title={say('later')}
        disabled={layer.at === times.length - 1}
        onClick={() => go(layer.at + 1)}
      >
        ›
      </button>
      <input
        type="range"
        aria-label={say('date')}
        aria-valuetext={said}
        min={0}
        max={times.length - 1}
        value={layer.at}
        onChange={event => go(event.target.valueAsNumber)}
      />
      <output>
        {said} <span className="el-Small">({`${layer.at + 1}/${times.length}`})</span>
      </output>
    </div>
  );
}
