import { sayDay } from '../core/words';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import type { MapParts } from './widget';

/** The links that I have given away, each with a button that ends it. */
export function LinksPanel({ shared, model }: MapParts): JSX.Element {
  const { say, api } = shared;
  const { links } = model;
  const { state, list, refusal } = useChanging(links.linked);
  return (
    <details className="el-Links" onToggle={event => event.currentTarget.open && void links.look()}>
      <summary>{say('myLinks')}</summary>
      {refusal && <Refused refusal={refusal} say={say} again={() => void links.look()} />}
      {state === 'listed' && list.length === 0 && <p className="el-Hint">{say('noLinks')}</p>}
      <ul aria-busy={state === 'asking'}>
        {list.map(each => (
          <li key={each.id} className="el-Line">
            <span className="el-Name">
              {each.title}{' '}
              <span className="el-Small">{say('expires', { date: sayDay(each.expires, api.language) })}</span>
            </span>
            <button
              className="jp-Button jp-mod-styled"
              aria-label={say('revokeIt', { name: each.title })}
              onClick={() => void links.revoke(each.id)}
            >
              {say('revoke')}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
