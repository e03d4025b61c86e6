import { useEffect, useRef, useState } from 'react';
import type { Vocabulary } from '../core/api';
import { visible, type Row } from '../core/rows';
import { pick, sayDay, sayNumber } from '../core/words';
import type { IEarthlab, ILabMap } from '../tokens';

const ROW = 56;

/** What was found, newest first. Of a long list only what is seen is drawn. */
export function Results(props: {
  rows: readonly Row[];
  vocabulary: Vocabulary | undefined;
  shared: IEarthlab;
  map: ILabMap | null;
}): JSX.Element {
  const { rows, vocabulary, shared, map } = props;
  const { say } = shared;
  const list = useRef<HTMLDivElement>(null);
  const [scrolled, setScrolled] = useState(0);
  const [shown, setShown] = useState(400);
  useEffect(() => {
    const box = list.current;
    if (box === null) {
      return;
    }
    const watching = new ResizeObserver(() => setShown(box.clientHeight));
    watching.observe(box);
    return () => watching.disconnect();
  }, []);
  useEffect(() => {
    list.current?.scrollTo({ top: 0 });
    setScrolled(0);
  }, [rows]);
  const [first, last] = visible(rows.length, ROW, scrolled, shown);
  return (
    <div
      ref={list}
      className="el-Results"
      role="region"
      aria-label={say('results')}
      tabIndex={0}
      onScroll={event => setScrolled(event.currentTarget.scrollTop)}
    >
      <ul style={{ height: rows.length * ROW }}>
        {rows.slice(first, last).map((row, at) => (
          <li
            key={`${row.collection}/${row.id}`}
            style={{ top: (first + at) * ROW, height: ROW }}
            aria-setsize={rows.length}
            aria-posinset={first + at + 1}
            onMouseEnter={() => map?.mark(row)}
            onMouseLeave={() => map?.mark()}
          >
            <Result row={row} vocabulary={vocabulary} shared={shared} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Result(props: { row: Row; vocabulary: Vocabulary | undefined; shared: IEarthlab }): JSX.Element {
  const { row, vocabulary, shared } = props;
  const { say } = shared;
  const { language } = shared.api;
  const known = vocabulary?.collections.find(each => each.id === row.collection);
  const rule = known && vocabulary?.rules[known.access];
  return (
    <div className="el-Result">
      {row.thumbnail ? (
        <img src={row.thumbnail} alt="" loading="lazy" referrerPolicy="no-referrer" width={44} height={44} />
      ) : (
        <span className="el-NoImage" aria-hidden="true" />
      )}
      <div>
        <strong title={row.id}>{sayDay(row.start, language) || say('noDate')}</strong>
        <span className="el-Name" title={row.id}>
          {known ? pick(known.title, language) : row.collection}
        </span>
        <span className="el-Small">
          {[row.platform, row.cloud === null ? '' : `☁ ${sayNumber(Math.round(row.cloud), language)} %`, row.licence]
            .filter(Boolean)
            .join(' · ')}
          {row.simulated && <b className="el-Simulated"> {say('simulated')}</b>}
          {rule && (
            <b className="el-Access" title={pick(rule.how, language)}>
              {' '}
              {say('needsCharter', { title: pick(rule.title, language) })}
            </b>
          )}
          {known?.access === 'account' && <b className="el-Access"> {say('needsAccount')}</b>}
        </span>
      </div>
    </div>
  );
}
