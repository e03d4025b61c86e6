import type { Vocabulary } from '../core/api';
import type { Counts, Facets } from '../core/facets';
import type { Narrowing } from '../core/rows';
import { pick, sayNumber, type Word } from '../core/words';
import type { IEarthlab } from '../tokens';

const FACETS = [
  ['collections', 'collections'],
  ['platforms', 'satellite'],
  ['instruments', 'instrument']
] as const satisfies readonly (readonly [keyof Narrowing & keyof Facets, Word])[];

const SHOWN = 12;

/** What was found, counted; what is ticked stays in the list. Nobody is asked anew. */
export function FacetLists(props: {
  facets: Facets;
  narrowing: Narrowing;
  narrow: (narrowing: Narrowing) => void;
  vocabulary: Vocabulary | undefined;
  shared: IEarthlab;
}): JSX.Element {
  const { facets, narrowing, narrow, vocabulary, shared } = props;
  const { say } = shared;
  const { language } = shared.api;
  const titles = new Map(vocabulary?.collections.map(each => [each.id, pick(each.title, language)]));
  const tick = (facet: (typeof FACETS)[number][0], name: string) => {
    const names = new Set(narrowing[facet]);
    if (!names.delete(name)) {
      names.add(name);
    }
    narrow({ ...narrowing, [facet]: names });
  };
  return (
    <details className="el-Facets">
      <summary>{say('narrow')}</summary>
      <label className="el-Line">
        {say('results')}{' '}
        <input
          className="jp-mod-styled"
          type="search"
          value={narrowing.words}
          onChange={event => narrow({ ...narrowing, words: event.target.value })}
        />
      </label>
      <label className="el-Line">
        {say('clouds')}{' '}
        <input
          type="range"
          min={0}
          max={100}
          step={5}
          value={narrowing.maxCloud ?? 100}
          onChange={event => {
            const most = Number(event.target.value);
            narrow({ ...narrowing, maxCloud: most === 100 ? undefined : most });
          }}
        />
        <output>{narrowing.maxCloud === undefined ? say('cloudsAny') : `${narrowing.maxCloud} %`}</output>
      </label>
      {FACETS.map(([facet, word]) => {
        const counts: Counts = facets[facet].slice(0, SHOWN);
        return counts.length < 2 && narrowing[facet].size === 0 ? null : (
          <fieldset key={facet}>
            <legend>{say(word)}</legend>
            {counts.map(([name, count]) => (
              <label key={name} className="el-Tick">
                <input type="checkbox" checked={narrowing[facet].has(name)} onChange={() => tick(facet, name)} />
                <span className="el-Name">{titles.get(name) ?? name}</span>
                <span className="el-Count">{sayNumber(count, language)}</span>
              </label>
            ))}
          </fieldset>
        );
      })}
    </details>
  );
}
