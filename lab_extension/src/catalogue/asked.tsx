import type { Vocabulary } from '../core/api';
import { without, type Question } from '../core/question';
import type { Searching } from '../core/searching';
import { pick } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { IEarthlab } from '../tokens';

type Chip = { readonly text: string; readonly left: Question };

/** What is asked, each word with a button that takes it away. */
export function Asked(props: {
  searching: Searching;
  vocabulary: Vocabulary | undefined;
  shared: IEarthlab;
}): JSX.Element | null {
  const { searching, vocabulary, shared } = props;
  const { say } = shared;
  const { question } = useChanging(searching.answer);
  const chips = [...listChips(question, vocabulary, shared)];
  if (chips.length === 0) {
    return null;
  }
  return (
    <ul className="el-Chips" aria-label={say('search')}>
      {chips.map(chip => (
        <li key={chip.text}>
          <button
            className="el-Chip"
            aria-label={say('remove', { name: chip.text })}
            onClick={() => searching.want(chip.left)}
          >
            {chip.text} <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
      <li>
        <button className="jp-Button jp-mod-styled jp-mod-minimal" onClick={() => searching.want({})}>
          {say('clear')}
        </button>
      </li>
    </ul>
  );
}

function* listChips(question: Question, vocabulary: Vocabulary | undefined, shared: IEarthlab): Generator<Chip> {
  const { language } = shared.api;
  const theme = vocabulary?.themes.find(each => question.theme && Object.values(each.title).includes(question.theme));
  if (question.theme) {
    yield {
      text: theme ? pick(theme.title, language) : question.theme,
      left: without(question, 'theme', 'collections')
    };
  } else if (question.collections) {
    for (const name of question.collections) {
      const rest = question.collections.filter(each => each !== name);
      const others = without(question, 'collections');
      const known = vocabulary?.collections.find(each => each.id === name);
      yield {
        text: known ? pick(known.title, language) : name,
        left: rest.length > 0 ? { ...others, collections: rest } : others
      };
    }
  }
  if (question.place) {
    yield { text: question.place, left: without(question, 'place', 'bbox') };
  } else if (question.bbox) {
    yield { text: question.bbox.map(side => Math.round(side * 100) / 100).join(' '), left: without(question, 'bbox') };
  }
  if (question.time) {
    yield { text: question.time, left: without(question, 'time') };
  }
  for (const word of ['platform', 'instrument'] as const) {
    for (const name of question[word] ?? []) {
      const rest = (question[word] ?? []).filter(each => each !== name);
      yield { text: name, left: rest.length > 0 ? { ...question, [word]: rest } : without(question, word) };
    }
  }
  if (question.max_cloud !== undefined) {
    yield { text: `≤ ${question.max_cloud} %`, left: without(question, 'max_cloud') };
  }
}
