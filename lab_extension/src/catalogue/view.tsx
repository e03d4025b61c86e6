import { useDeferredValue, useEffect, useMemo, useState } from 'react';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import type { Vocabulary } from '../core/api';
import { countFacets } from '../core/facets';
import { isEmpty, toLink } from '../core/question';
import type { Refusal } from '../core/refusal';
import { cubeOf, listStocks, type Stock } from '../core/planning';
import { narrow, NOTHING_NARROWED, type Narrowing } from '../core/rows';
import { sayNumber } from '../core/words';
import { useChanging } from '../shell/useChanging';
import { Asked } from './asked';
import { Drawer } from './drawer';
import { FacetLists } from './facetLists';
import { HistogramBrush } from './histogram';
import type { Parts } from './panel';
import { LINK } from './plugin';
import { Refused } from '../shell/refused';
import { Results } from './results';
import { SavedList } from './savedList';
import { Ways } from './ways';

/** Four ways to a question above, what was found below; the drawer of a cube over both. */
export function CatalogueView(parts: Parts): JSX.Element {
  const { shared, searching, planning, map, saved } = parts;
  const { say } = shared;
  const { language } = shared.api;
  const answer = useChanging(searching.answer);
  const draft = useChanging(planning.draft);
  const [vocabulary, setVocabulary] = useState<Vocabulary>();
  const [fault, setFault] = useState<Refusal>();
  const [narrowing, setNarrowing] = useState<Narrowing>(NOTHING_NARROWED);
  const load = () => {
    setFault(undefined);
    shared.vocabulary().then(setVocabulary, setFault);
  };
  useEffect(load, [shared]);
  useEffect(() => setNarrowing(NOTHING_NARROWED), [answer.question, answer.everywhere]);
  const wanted = useDeferredValue(narrowing); // what is typed stands there at once, and the list follows
  const rows = useMemo(() => narrow(answer.rows, wanted), [answer.rows, wanted]);
  const facets = useMemo(() => countFacets(answer.rows, wanted), [answer.rows, wanted]);
  useEffect(() => map?.showRows(rows), [map, rows]);

  const openCube = (stock: Stock) => planning.open(...cubeOf(stock, answer.question, answer.rows, rows, wanted));
  if (draft.state !== 'closed') {
    return <Drawer {...parts} vocabulary={vocabulary} stocks={listStocks(rows)} open={openCube} />;
  }
  const total =
    answer.state === 'asking'
      ? answer.rows.length === 0
        ? say('asking')
        : say('totalSoFar', { count: sayNumber(answer.rows.length, language) })
      : rows.length === answer.rows.length
        ? say('total', { count: sayNumber(rows.length, language) })
        : say('totalOf', { count: sayNumber(rows.length, language), all: sayNumber(answer.rows.length, language) });
  const copyLink = () => {
    const address = new URL(URLExt.join(PageConfig.getShareUrl(), 'lab'), window.location.href);
    address.search = new URLSearchParams({ [LINK]: toLink(answer.question) }).toString();
    Clipboard.copyToSystem(address.toString());
    Notification.success(say('copied'), { autoClose: 3000 });
  };
  return (
    <div className="el-Catalogue">
      {fault && <Refused refusal={fault} say={say} again={load} />}
      {vocabulary?.silent && (
        <p className="el-Warning" role="status">
          {say('silent')} {vocabulary.silent}
        </p>
      )}
      <Ways {...parts} vocabulary={vocabulary} answer={answer} />
      <Asked searching={searching} vocabulary={vocabulary} shared={shared} />
      <SavedList saved={saved} searching={searching} say={say} />
      {isEmpty(answer.question) ? (
        <>
          {answer.refusal && <Refused refusal={answer.refusal} say={say} />}
          <p className="el-Hint">{say('start')}</p>
        </>
      ) : (
        <>
          <div className="el-Total">
            <strong role="status" aria-live="polite">
              {total}
            </strong>
            <button className="jp-Button jp-mod-styled jp-mod-minimal" onClick={copyLink}>
              {say('shareLink')}
            </button>
          </div>
          {answer.refusal && <Refused refusal={answer.refusal} say={say} again={() => searching.again()} />}
          <ul className="el-Outcomes">
            {answer.outcomes
              .filter(each => each.state !== 'answered' || each.message !== '')
              .map(each => (
                <li key={each.endpoint} className={`el-mod-${each.state}`}>
                  {say(each.state, {
                    endpoint: each.endpoint,
                    count: each.items,
                    seconds: sayNumber(Math.round(each.seconds * 10) / 10, language)
                  })}
                  {each.message && <span className="el-Message"> {each.message}</span>}
                </li>
              ))}
          </ul>
          {answer.rows.length > 0 && (
            <>
              <HistogramBrush histogram={facets.histogram} shared={shared} onPeriod={time => searching.say({ time })} />
              <FacetLists
                facets={facets}
                narrowing={narrowing}
                narrow={setNarrowing}
                vocabulary={vocabulary}
                shared={shared}
              />
            </>
          )}
          {answer.state === 'done' && answer.rows.length === 0 && <p className="el-Hint">{say('nothing')}</p>}
          {answer.rows.length > 0 && rows.length === 0 && <p className="el-Hint">{say('nothingNarrowed')}</p>}
          {rows.length > 0 && (
            <button
              className="jp-Button jp-mod-styled jp-mod-accept el-OpenCube"
              disabled={answer.state !== 'done'}
              onClick={() => openCube(listStocks(rows)[0])}
            >
              {say('openCube')}
            </button>
          )}
          <Results shared={shared} map={map} rows={rows} vocabulary={vocabulary} />
        </>
      )}
    </div>
  );
}
