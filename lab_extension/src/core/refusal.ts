/** What the server says in place of an answer: what happened, and what one can do about it. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string
  ) {
    super(message);
    this.name = 'Refusal';
  }
}

/** The refusal in a body that should hold one; of anything else, one in our own words. */
export function parseRefusal(status: number, body: unknown): Refusal {
  const said = (body ?? {}) as Record<string, unknown>;
  const text = (name: string) => (typeof said[name] === 'string' ? (said[name] as string) : '');
  return new Refusal(text('code') || `HTTP${status}`, text('message') || `HTTP ${status}`, text('remedy'));
}

/** What was refused, whatever it is that was thrown. */
export function asRefusal(reason: unknown): Refusal {
  return reason instanceof Refusal ? reason : new Refusal('Fault', String(reason), '');
}
