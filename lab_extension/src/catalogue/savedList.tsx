import { useState } from 'react';
import { isEmpty } from '../core/question';
import type { Searching } from '../core/searching';
import type { Say } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { SavedSearches } from './saved';

/** The searches that were kept, and a line to keep this one. */
export function SavedList(props: { saved: SavedSearches; searching: Searching; say: Say }): JSX.Element {
  const { saved, searching, say } = props;
  const list = useChanging(saved.list);
  const { question } = useChanging(searching.answer);
  const [name, setName] = useState('');
  const keep = () => {
    saved.keep(name.trim(), question);
    setName('');
  };
  return (
    <details className="el-Saved">
      <summary>{say('saved')}</summary>
      {list.length === 0 && <p className="el-Hint">{say('noSaved')}</p>}
      <ul>
        {list.map(each => (
          <li key={each.name}>
            <button className="jp-Button jp-mod-styled jp-mod-minimal" onClick={() => searching.want(each.question)}>
              {each.name}
            </button>
            <button
              className="el-Chip"
              aria-label={say('forget', { name: each.name })}
              onClick={() => saved.forget(each.name)}
            >
              <span aria-hidden="true">×</span>
            </button>
          </li>
        ))}
      </ul>
      {!isEmpty(question) && (
        <form
          className="el-Line"
          onSubmit={event => {
            event.preventDefault();
            keep();
          }}
        >
          <label>
            {say('saveName')}{' '}
            <input
              className="jp-mod-styled"
              value={name}
              maxLength={100}
              required
              onChange={event => setName(event.target.value)}
            />
          </label>
          <button className="jp-Button jp-mod-styled" disabled={name.trim() === ''}>
            {say('save')}
          </button>
        </form>
      )}
    </details>
  );
}
