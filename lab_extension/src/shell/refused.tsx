import type { Refusal } from '../core/refusal';
import type { Say } from '../core/words';

/** A refusal, with what one can do about it. */
export function Refused(props: { refusal: Refusal; say: Say; again?: () => void }): JSX.Element {
  const { refusal, say, again } = props;
  return (
    <div className="el-Refusal" role="alert">
      <p>{refusal.code === 'Unreachable' ? say('unreachable') : refusal.message}</p>
      {refusal.remedy && <p className="el-Remedy">{refusal.remedy}</p>}
      {again && (
        <button className="jp-Button jp-mod-styled" onClick={again}>
          {say('again')}
        </button>
      )}
    </div>
  );
}
