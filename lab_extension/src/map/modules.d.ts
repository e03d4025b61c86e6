// proj4 tells the types of its whole alone; of its parts, those that are used.
declare module 'proj4/lib/core' {
  const transform: (
    from: string,
    to: string
  ) => { forward(place: number[]): number[]; inverse(place: number[]): number[] };
  export default transform;
}
declare module 'proj4/lib/defs' {
  const define: (code: string, definition: string) => void;
  export default define;
}
declare module 'proj4/lib/Proj' {
  const projections: { readonly projections: { add(projection: unknown): void } };
  export default projections;
}
declare module 'proj4/lib/projections/lcc';
declare module 'proj4/lib/projections/stere';
declare module 'proj4/lib/projections/utm';
