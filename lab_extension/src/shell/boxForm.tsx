import { useEffect, useId, useState, type ReactNode } from 'react';
import { parseBox, renderSides, type Sides } from '../core/box';
import type { Box } from '../core/question';
import type { Say, Word } from '../core/words';

const SIDES = ['west', 'south', 'east', 'north'] as const satisfies readonly Word[];
const FAULTS = {
  number: 'boxNumber',
  longitude: 'boxLongitude',
  latitude: 'boxLatitude',
  order: 'boxOrder'
} as const satisfies Record<string, Word>;

interface Props {
  readonly legend: string;
  readonly say: Say;
  /** What stands in the fields until something else is typed. */
  readonly box?: Box;
  /** Takes the box, or says why it cannot be. */
  readonly take: (box: Box) => Word | undefined;
  /** Stands beside the button. */
  readonly children?: ReactNode;
}

/** A box of four numbers, for who has no pointer. */
export function BoxForm({ legend, say, box, take, children }: Props): JSX.Element {
  const [sides, setSides] = useState<Sides>(['', '', '', '']);
  const [fault, setFault] = useState<Word>();
  const id = useId();
  useEffect(() => {
    if (box) {
      setSides(renderSides(box));
    }
  }, [box]);
  const apply = () => {
    const typed = parseBox(sides);
    setFault(typeof typed === 'string' ? FAULTS[typed] : take(typed));
  };
  return (
    <form
      className="el-Box"
      onSubmit={event => {
        event.preventDefault();
        apply();
      }}
    >
      <fieldset aria-describedby={fault ? `${id}-fault` : undefined}>
        <legend>{legend}</legend>
        {SIDES.map((side, at) => (
          <label key={side}>
            {say(side)}
            <input
              className="jp-mod-styled"
              inputMode="decimal"
              value={sides[at]}
              aria-invalid={fault !== undefined}
              onChange={event =>
                setSides(sides.map((each, k) => (k === at ? event.target.value : each)) as unknown as Sides)
              }
            />
          </label>
        ))}
      </fieldset>
      {fault && (
        <p id={`${id}-fault`} role="alert" className="el-Fault">
          {say(fault)}
        </p>
      )}
      <div className="el-Line">
        <button className="jp-Button jp-mod-styled">{say('apply')}</button>
        {children}
      </div>
    </form>
  );
}
