/** The parameters without what counts as left out: undefined and null. */
export function given<T extends object>(params: T): { [N in keyof T]?: NonNullable<T[N]> } {
  const entries = Object.entries(params).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { [N in keyof T]?: NonNullable<T[N]> };
}
