/** A value that others look at and are told of when it changes. */
export class Changing<T> {
  private readonly listeners = new Set<() => void>();

  constructor(private value: T) {}

  get = (): T => this.value;

  set(value: T): void {
    if (value !== this.value) {
      this.value = value;
      this.listeners.forEach(listener => listener());
    }
  }

  /** Calls back at each change, until what is returned is called. */
  watch = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };
}
