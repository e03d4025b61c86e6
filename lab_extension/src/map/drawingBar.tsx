import { useChanging } from '../shell/useChanging';
import type { MapParts } from './widget';

/** What to do while something is drawn, and the ways to do without a pointer. */
export function DrawingBar({ shared, model }: MapParts): JSX.Element | null {
  const { say } = shared;
  const drawing = useChanging(model.drawing);
  const map = useChanging(model.canvas);
  return drawing === undefined ? null : (
    <div className="el-DrawingBar" role="status">
      <span>{say(drawing.kind === 'box' ? 'drawBoxNow' : 'drawAreaNow')}</span>
      <button
        className="jp-Button jp-mod-styled"
        disabled={map === undefined}
        onClick={() => map && drawing.take(map.seen().box)}
      >
        {say('takeSeen')}
      </button>
      <button className="jp-Button jp-mod-styled" onClick={() => drawing.giveUp()}>
        {say('giveUp')}
      </button>
    </div>
  );
}
