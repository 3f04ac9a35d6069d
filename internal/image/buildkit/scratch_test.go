package buildkit
import ("testing";"fmt";"os";"time";"github.com/hubship/hubship/internal/model")
func TestScratch(t *testing.T){
 for _,c:=range []string{"zstd","uncompressed","gzip"}{
 b:=live(t); b.o.Compression=c; b.o.Timeout=20*time.Minute
 src:=model.Source{Image:model.Image{ID:"datahub/user",Repository:"datahub/user-"+c,Context:"deployments/datahub/image",Dockerfile:"deployments/datahub/image/Dockerfile"},Hash:"x"+c}
 t0:=time.Now()
 bu,err:=b.Build(limited(t,20*60e9),"/work/main/starter/files/deployments/datahub/image",src,os.Stdout)
 fmt.Println(c, time.Since(t0), bu, err)
 }
}
